//! Failpoints: faults that nothing outside the server can make. Each is one line at its place in the code, and strikes only
//! in a server where it is on; without the feature `failpoints`, which the shipped program lacks, none can be.

/// Whether a failpoint is on, or the value that it puts in the place of another, if it is on.
macro_rules! failpoint {
    ($failpoints:expr, $name:ident) => {
        cfg!(feature = "failpoints") && $failpoints.is_on($crate::failpoints::Failpoint::$name)
    };
    ($failpoints:expr, $name:ident, $value:expr) => {
        failpoint!($failpoints, $name).then(|| $value)
    };
}
pub(crate) use failpoint;

macro_rules! list {
    ($(#[doc = $sentence:literal] $name:ident,)*) => {
        /// A fault in the server.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Failpoint {
            $(#[doc = $sentence] $name,)*
        }

        impl Failpoint {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name),*];
        }
    };
}

list! {
    /// What was revoked ends no connection.
    RevocationIgnored,
    /// A run that is to be cancelled is looked for among those of all users.
    ForeignRunCancelled,
    /// A connection takes the place of those that opened up to 5 ms before it.
    RegistrationLost,
    /// The end of a connection takes all of its user out of the hub.
    LateUnregister,
    /// A commit is handed on once all connections have read what came before.
    SlowReaderSlowsAll,
}

/// What a failpoint has marked. Without the feature `failpoints` it takes no room, and nothing can be marked.
#[derive(Debug, Default)]
pub(crate) struct Mark([bool; cfg!(feature = "failpoints") as usize]);

impl Mark {
    /// Marks it.
    pub(crate) fn set(&mut self) {
        self.0.fill(true);
    }

    /// Whether it is marked.
    pub(crate) fn is_set(&self) -> bool {
        self.0.contains(&true)
    }
}

/// The failpoint that is on in one server, if one is.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Failpoints(Option<Failpoint>);

impl Failpoints {
    /// This one is on. Without the feature `failpoints` it makes no difference.
    pub fn only(failpoint: Failpoint) -> Self {
        Self(Some(failpoint))
    }

    /// Whether it is on.
    pub(crate) fn is_on(self, failpoint: Failpoint) -> bool {
        self.0 == Some(failpoint)
    }
}
