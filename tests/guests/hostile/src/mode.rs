//! The ways to misbehave. The tests include this file, so a way that nobody tests does not compile.

/// The enum, the names that settings use, and the list of all, of one piece: none can be left out.
macro_rules! modes {
    ($($mode:ident = $name:literal,)+) => {
        /// A way to misbehave.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Mode {
            $($mode,)+
        }

        impl Mode {
            /// Each of them.
            pub(crate) const ALL: &[Self] = &[$(Self::$mode,)+];

            /// As settings have it.
            pub(crate) const fn name(self) -> &'static str {
                match self {
                    $(Self::$mode => $name,)+
                }
            }
        }
    };
}

modes! {
    Loop = "loop",
    Fill = "fill",
    Memory = "memory",
    Recursion = "recursion",
    Trap = "trap",
    Headers = "headers",
    LineBreak = "line-break",
    Framing = "framing",
    Status = "status",
    HugeString = "huge-string",
    RequestHeaders = "request-headers",
    LogFlood = "log-flood",
    KvFlood = "kv-flood",
    SetFlood = "set-flood",
    GateFlood = "gate-flood",
    NoteFlood = "note-flood",
}
