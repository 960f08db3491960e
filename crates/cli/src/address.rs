//! Addresses and tokens on the command line: read before anything is sent, and refused with what is wrong and what to
//! write.

use std::{ffi::OsStr, fmt};

use clap::{
    Arg, Command, Error,
    builder::{StringValueParser, TypedValueParser},
    error::ErrorKind,
};
use wireproof_client::token_fault;
use wireproof_protocol::{Address, AddressError, SOCKET_PATH};

use crate::exit::Stop;

/// Reads an argument by a function of addresses; the text itself may hold a secret, so only the error shows it.
#[derive(Clone)]
pub(crate) struct Read<T>(pub(crate) fn(&str) -> Result<T, AddressError>);

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Read<T> {
    type Value = T;

    fn parse_ref(&self, _: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<T, Error> {
        let read = self.0(&value.to_string_lossy());
        read.map_err(|error| refuse(argument, &error, &error.next()))
    }
}

/// A socket as people type it: without a path it is at `/ws`.
pub(crate) fn socket(text: &str) -> Result<Address, AddressError> {
    Ok(Address::socket(text)?.or_path(SOCKET_PATH))
}

/// Reads a token, and refuses what no token is, with the reason.
#[derive(Clone)]
pub(crate) struct TokenArgument;

impl TypedValueParser for TokenArgument {
    type Value = String;

    fn parse_ref(&self, command: &Command, argument: Option<&Arg>, value: &OsStr) -> Result<String, Error> {
        // What is no UTF-8 has characters that no token has.
        match token_fault(&value.to_string_lossy()) {
            None => StringValueParser::new().parse_ref(command, argument, value),
            Some(fault) => {
                let (what, mend) = fault.split_once("; ").unwrap_or((&fault, ""));
                Err(refuse(argument, &format!("the token cannot be used: {what}"), mend))
            }
        }
    }
}

/// The token in WIREPROOF_TOKEN, for commands that take it from nowhere else.
pub(crate) fn token_of_environment() -> Result<String, Stop> {
    let token = std::env::var_os("WIREPROOF_TOKEN").unwrap_or_default();
    let token = token.to_string_lossy().into_owned();
    match token_fault(&token) {
        None => Ok(token),
        Some(_) if token.is_empty() => Err(Stop::Usage("--url needs a token in WIREPROOF_TOKEN".into())),
        Some(fault) => Err(Stop::Usage(format!("the token in WIREPROOF_TOKEN cannot be used: {fault}"))),
    }
}

fn refuse(argument: Option<&Arg>, what: &dyn fmt::Display, next: &str) -> Error {
    let place = argument.map(|argument| format!("{argument}: ")).unwrap_or_default();
    Error::raw(ErrorKind::ValueValidation, format!("{place}{what}\n  next: {next}\n"))
}
