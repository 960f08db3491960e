//! What a user may do: a closed list of permissions, denied unless granted.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

macro_rules! permissions {
    ($( $(#[$meta:meta])* $name:literal => $variant:ident, )*) => {
        /// One thing that a user may be allowed.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Permission {
            $( $(#[$meta])* #[serde(rename = $name)] $variant, )*
        }

        impl Permission {
            /// Every permission.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// Its name, as claims and settings carry it.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }
        }
    };
}

permissions! {
    /// To ask an agent, and to answer its approvals.
    "chat" => Chat,
    /// To read the own threads, messages and runs.
    "threads:read" => ThreadsRead,
    /// To make, change and delete the own threads.
    "threads:write" => ThreadsWrite,
    /// To cancel the own runs.
    "runs:cancel" => RunsCancel,
    /// To see who is connected, and the accounts.
    "admin:read" => AdminRead,
    /// To disconnect, revoke, change accounts.
    "admin:users" => AdminUsers,
    /// To drain, restart and back up the server.
    "admin:server" => AdminServer,
}

/// A set of permissions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Permissions(u16);

impl Permissions {
    /// None at all.
    pub const NONE: Self = Self(0);

    /// What a user has who is granted nothing in particular: the own threads and runs, and nothing of `admin:*`.
    pub fn of_a_user() -> Self {
        [Permission::Chat, Permission::ThreadsRead, Permission::ThreadsWrite, Permission::RunsCancel]
            .into_iter()
            .collect()
    }

    /// Everything.
    pub fn all() -> Self {
        Permission::ALL.into_iter().collect()
    }

    /// True when this is granted.
    pub fn has(self, permission: Permission) -> bool {
        self.0 & (1 << permission as u16) != 0
    }

    /// True when all of the others are granted.
    pub fn cover(self, others: Self) -> bool {
        others.0 & !self.0 == 0
    }

    /// Those that names grant; `admin:*` grants all of `admin`, a name that is none grants nothing.
    pub fn named<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let granted = |name: &str| {
            let name = name.to_owned();
            Permission::ALL.into_iter().filter(move |permission| {
                permission.name() == name || (name == "admin:*" && permission.name().starts_with("admin:"))
            })
        };
        names.into_iter().flat_map(granted).collect()
    }

    /// The names of those that are granted.
    pub fn names(self) -> Vec<&'static str> {
        Permission::ALL.into_iter().filter(|permission| self.has(*permission)).map(Permission::name).collect()
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        Self(permissions.into_iter().fold(0, |set, permission| set | 1 << permission as u16))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_grant_and_nothing_else_does() {
        for permission in Permission::ALL {
            let named = Permissions::named([permission.name()]);
            assert_eq!(named.names(), [permission.name()]);
            assert_eq!(serde_json::to_value(permission).unwrap(), permission.name());
        }
        assert_eq!(Permissions::named(["", "Chat", "*", "admin", "threads:*"]), Permissions::NONE);
        assert_eq!(Permissions::named(["admin:*"]).names(), ["admin:read", "admin:users", "admin:server"]);
        assert!(!Permissions::of_a_user().has(Permission::AdminRead));
    }
}
