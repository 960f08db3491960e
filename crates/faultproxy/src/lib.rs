//! Faults on the wire: a proxy that makes them in front of any server ([`FaultProxy`]), and bytes on a socket that no
//! client library would send ([`wire`]).
#![forbid(unsafe_code)]

mod proxy;
pub mod wire;

pub use proxy::{
    Afterwards, Connection, Connections, Cut, Direction, End, Entry, Fault, FaultProxy, Invalid, Phase,
    Toxic, Trigger, mutation,
};
