use std::env::var;
use std::path::PathBuf;

fn main() {
    napi_build::setup();
    let published = var("PROFILE").is_ok_and(|profile| profile == "release");
    let glibc = var("TARGET").is_ok_and(|target| target.ends_with("-unknown-linux-gnu"));
    if published
        && glibc
        && let Some(folder) = linker_of_rust()
    {
        // One copy of functions and read-only tables that are alike: a twentieth of the file.
        println!("cargo:rustc-link-arg-cdylib=-B{}", folder.display());
        println!("cargo:rustc-link-arg-cdylib=-Wl,--icf=all,--ignore-data-address-equality");
    }
}

/// A folder in which a C compiler finds the lld that comes with rustc as its linker. The GNU linker cannot fold, and the compilers for
/// old versions of glibc know no other by name.
#[cfg(unix)]
fn linker_of_rust() -> Option<PathBuf> {
    let output = std::process::Command::new(var("RUSTC").ok()?).args(["--print", "sysroot"]).output().ok()?;
    let sysroot = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
    let linker = sysroot.join("lib/rustlib").join(var("HOST").ok()?).join("bin/gcc-ld/ld.lld");
    let folder = PathBuf::from(var("OUT_DIR").ok()?).join("linker");
    std::fs::create_dir_all(&folder).ok()?;
    for name in ["ld", "ld.lld"] {
        let link = folder.join(name);
        // What an earlier version of rustc left.
        let _ = std::fs::remove_file(&link);
        std::os::unix::fs::symlink(&linker, &link).ok()?;
    }
    linker.exists().then_some(folder)
}

#[cfg(not(unix))]
fn linker_of_rust() -> Option<PathBuf> {
    None
}
