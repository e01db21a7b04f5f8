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

    pub(crate) fn to_cmd(&self, shas: &[String]) -> Cmd {
        let mut cmd = Cmd::with_capacity(self.ends.len() + 3, self.bytes.len() + 64);
        if let Some(script) = self.script {
            cmd.arg("EVALSHA").arg(shas.get(script as usize).map_or("", String::as_str)).arg(self.keys);
        }
        let mut from = 0;
        for end in &self.ends {
            cmd.arg(&self.bytes[from..*end]);
            from = *end;
        }
        cmd
    }
}
