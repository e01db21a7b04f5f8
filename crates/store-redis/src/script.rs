//! The Lua scripts, one file per operation, and the commands that carry them.

use redis::Cmd;

macro_rules! scripts {
    ($($(#[$doc:meta])* $name:ident = [$($file:literal),*];)*) => {
        /// One operation that Redis carries out as a whole.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Script { $($(#[$doc])* $name,)* }

        impl Script {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its Lua.
            pub(crate) fn source(self) -> &'static str {
                match self { $(Self::$name => concat!($(include_str!(concat!("lua/", $file, ".lua"))),*),)* }
            }
        }
    };
}

scripts! {
    Enqueue = ["enqueue"];
    Work = ["base", "lazy", "common", "settle", "made", "work"];
    Beat = ["beat"];
    Leave = ["base", "common", "leave"];
    Maintain = ["base", "common", "maintain"];
    Note = ["note"];
    Idle = ["idle"];
    Jobs = ["base", "common", "view", "jobs"];
    List = ["base", "common", "view", "list"];
    Logs = ["base", "common", "view", "logs"];
    Departed = ["departed"];
    Workers = ["workers"];
    Pause = ["base", "common", "control", "pause"];
    Drain = ["base", "common", "control", "drain"];
    Clean = ["base", "common", "control", "clean"];
    Retry = ["base", "common", "view", "control", "retry"];
    Promote = ["base", "common", "view", "control", "promote"];
    Remove = ["base", "common", "view", "control", "remove"];
    Cancel = ["base", "common", "view", "control", "cancel"];
    Obliterate = ["base", "common", "control", "obliterate"];
    Commit = ["state/space", "state/entries", "state/commit"];
    Get = ["state/space", "state/get"];
    Query = ["state/space", "state/query"];
    ReadLog = ["state/space", "state/read_log"];
    TrimLog = ["state/space", "state/trim_log"];
    Names = ["state/space", "state/names"];
    Clear = ["state/space", "state/clear"];
    Sweep = ["state/space", "state/entries", "state/sweep"];
}

/// The scripts as a server knows them.
#[derive(Debug, Default)]
pub(crate) struct Scripts {
    /// Their names there, in the order of `Script::ALL`.
    pub(crate) shas: Vec<String>,
    /// In a Cluster, each is given one key more, which never exists. While a slot moves, a server refuses with TRYAGAIN what
    /// names several keys of which one is not there: so a script never begins where some of its keys are elsewhere. Most of its
    /// keys are not named, and it would stop half-way, or write beside what is still to come.
    pub(crate) guarded: bool,
}

impl Scripts {
    /// What a server is to load for a script, which does not know of the guard, but whether it is there.
    pub(crate) fn source(&self, script: Script) -> String {
        let cluster = if self.guarded { "table.remove(KEYS)" } else { "false" };
        format!("local cluster = {cluster}\n{}", script.source())
    }
}

/// A key that nobody writes, in the slot of `key`.
fn guard_of(key: &[u8]) -> Vec<u8> {
    let tagged = key.iter().position(|byte| *byte == b'}').map_or(key, |end| &key[..=end]);
    [tagged, b"-"].concat()
}

/// A command and its arguments, one after the other in a text of bytes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Call {
    pub(crate) script: Option<Script>,
    keys: usize,
    bytes: Vec<u8>,
    ends: Vec<usize>,
    /// Where the argument is that tells whether the call may have been carried out before.
    again: Option<usize>,
}

impl Call {
    /// A script with its keys.
    pub(crate) fn script(script: Script, keys: &[&[u8]]) -> Self {
        let mut call = Self { script: Some(script), keys: keys.len(), ..Self::default() };
        for key in keys {
            call.push(key);
        }
        call
    }

    /// A plain command.
    pub(crate) fn command(words: &[&[u8]]) -> Self {
        let mut call = Self::default();
        for word in words {
            call.push(word);
        }
        call
    }

    pub(crate) fn push(&mut self, argument: impl AsRef<[u8]>) {
        self.bytes.extend_from_slice(argument.as_ref());
        self.ends.push(self.bytes.len());
    }

    /// Adds an argument of two parts.
    pub(crate) fn push2(&mut self, first: &[u8], second: &[u8]) {
        self.bytes.extend_from_slice(first);
        self.push(second);
    }

    pub(crate) fn number(&mut self, number: i64) {
        use std::io::Write;
        let _ = write!(self.bytes, "{number}");
        self.ends.push(self.bytes.len());
    }

    pub(crate) fn with(mut self, argument: impl AsRef<[u8]>) -> Self {
        self.push(argument);
        self
    }

    pub(crate) fn with_number(mut self, number: i64) -> Self {
        self.number(number);
        self
    }

    /// Adds the argument that tells whether the call may have been carried out before.
    pub(crate) fn mark_again(&mut self) {
        self.again = Some(self.bytes.len());
        self.push(b"0");
    }

    pub(crate) fn set_again(&mut self) {
        if let Some(at) = self.again {
            self.bytes[at] = b'1';
        }
    }

    pub(crate) fn to_cmd(&self, scripts: &Scripts) -> Cmd {
        let mut cmd = Cmd::with_capacity(self.ends.len() + 4, self.bytes.len() + 64);
        let Some(script) = self.script else {
            self.arguments(0..self.ends.len()).for_each(|argument| {
                cmd.arg(argument);
            });
            return cmd;
        };
        let guard = scripts.guarded.then(|| self.arguments(0..1).next().map(guard_of)).flatten();
        let sha = scripts.shas.get(script as usize).map_or("", String::as_str);
        cmd.arg("EVALSHA").arg(sha).arg(self.keys + usize::from(guard.is_some()));
        self.arguments(0..self.keys).for_each(|key| {
            cmd.arg(key);
        });
        if let Some(guard) = guard {
            cmd.arg(guard);
        }
        self.arguments(self.keys..self.ends.len()).for_each(|argument| {
            cmd.arg(argument);
        });
        cmd
    }

    fn arguments(&self, range: std::ops::Range<usize>) -> impl Iterator<Item = &[u8]> {
        let start = |index: usize| if index == 0 { 0 } else { self.ends[index - 1] };
        range.map(move |index| &self.bytes[start(index)..self.ends[index]])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_cluster_has_a_guard_behind_the_keys() {
        let call = Call::script(Script::Pause, &[b"ma:{q}:m"]).with("1").with("2");
        let packed = |guarded| {
            let scripts = Scripts { shas: vec!["sha".into(); Script::ALL.len()], guarded };
            String::from_utf8(call.to_cmd(&scripts).get_packed_command()).expect("a text")
        };
        let words = |text: &str| text.lines().filter(|line| !line.starts_with(['*', '$'])).collect::<Vec<_>>().join(" ");
        assert_eq!(words(&packed(false)), "EVALSHA sha 1 ma:{q}:m 1 2");
        assert_eq!(words(&packed(true)), "EVALSHA sha 2 ma:{q}:m ma:{q}- 1 2");
    }
}
