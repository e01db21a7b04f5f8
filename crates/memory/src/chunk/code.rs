//! Programs in any language, by what they look like: blank lines, indentation, comments, closing brackets.

use std::ops::Range;

use super::outline::{Cut, Outline, indentation, lines};

/// Marks every line that is not blank.
pub(crate) fn outline(text: &str, range: Range<usize>, outline: &mut Outline) {
    let mut blank = true;
    let mut leads = false;
    for line in lines(text, range) {
        let content = text[line.clone()].trim_end();
        let start = content.trim_start();
        if start.is_empty() {
            blank = true;
            continue;
        }
        let depth = indentation(content);
        let cut = if leads || closes(start) {
            Cut::Glued
        } else if blank {
            if depth == 0 { Cut::Block } else { Cut::Item((depth / 4).min(8) as u8) }
        } else {
            Cut::Statement((depth / 2).min(8) as u8)
        };
        outline.mark(line.start, cut);
        blank = false;
        leads = is_lead(start);
    }
}

fn closes(line: &str) -> bool {
    line.starts_with(['}', ')', ']'])
        || matches!(line.split_whitespace().next(), Some("end" | "else" | "elif" | "except" | "finally" | "fi" | "done"))
}

/// Comments, attributes and decorators lead what follows them.
fn is_lead(line: &str) -> bool {
    ["//", "/*", "* ", "#", "@", "--", "<!--"].iter().any(|mark| line.starts_with(mark)) || line == "*/"
}

/// Whether prose would hardly have such a line.
pub(crate) fn is_likely(line: &str) -> bool {
    const WORDS: [&str; 26] = [
        "fn ",
        "pub ",
        "def ",
        "class ",
        "import ",
        "from ",
        "use ",
        "const ",
        "let ",
        "var ",
        "function ",
        "return ",
        "public ",
        "private ",
        "#include",
        "#define",
        "package ",
        "func ",
        "struct ",
        "enum ",
        "impl ",
        "elif ",
        "export ",
        "async ",
        "interface ",
        "namespace ",
    ];
    let line = line.trim();
    let ends = line.ends_with(['{', '}', ';', '(', '[', ']', '>'])
        || line.ends_with("},")
        || line.ends_with("],")
        || line.ends_with("):");
    let assigns =
        line.contains(" = ") || line.contains(" := ") || line.contains(" == ") || line.ends_with(')') && !line.contains(". ");
    let lists = line.starts_with('"') && (line.ends_with(',') || line.contains("\": "));
    let comments =
        line.starts_with("//") || line.starts_with("/*") || line.starts_with("* ") && line.len() > 40 && line.ends_with("*/");
    ends || assigns || lists || comments || WORDS.iter().any(|word| line.starts_with(word)) && !line.ends_with('.')
}
