//! One list for each kind of name on the wire: the macros make the type and the list of its names out of it, so that
//! no other list has to be kept.

/// An enum whose variants are told apart by the field `type`: `"name" => Variant { fields }`. It gets `NAMES` and `name`.
macro_rules! tagged_enum {
    (
        $(#[$meta:meta])*
        pub enum $enum:ident {
            $(
                $(#[$variant_meta:meta])*
                $name:literal => $variant:ident $({ $($fields:tt)* })? $(($content:ty))?
            ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(tag = "type")]
        pub enum $enum {
            $(
                $(#[$variant_meta])*
                #[serde(rename = $name)]
                $variant $({ $($fields)* })? $(($content))?
            ),*
        }

        impl $enum {
            /// Every `type` there is, in the order of the variants.
            pub const NAMES: &[&str] = &[$($name),*];

            /// Its `type` on the wire.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$variant { .. } => $name),* }
            }
        }
    };
}

/// A closed list of words that a later version may extend: `"word" => Variant`. An unknown word is read as `Unknown`. It
/// gets `ALL`, `NAMES` and `as_str`.
macro_rules! open_enum {
    (
        $(#[$meta:meta])*
        pub enum $enum:ident {
            $( $(#[$variant_meta:meta])* $name:literal => $variant:ident ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[derive(serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[non_exhaustive]
        pub enum $enum {
            $( $(#[$variant_meta])* #[serde(rename = $name)] $variant, )*
            /// A word of a later version, unknown to this one. Never sent.
            #[serde(rename = "unknown", other)]
            #[schemars(skip)]
            Unknown,
        }

        impl $enum {
            /// Every word of this version.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The same as they stand on the wire.
            pub const NAMES: &[&str] = &[$($name),*];

            /// The word as it stands on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* Self::Unknown => "unknown" }
            }
        }
    };
}

pub(crate) use {open_enum, tagged_enum};
