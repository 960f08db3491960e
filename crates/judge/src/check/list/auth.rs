//! Who gets in, and as whom: nobody without good credentials, and nobody as somebody else.

use super::check;
use crate::{
    check::{Check, Need},
    profile::Kind,
};

mod bypass;
mod http;
mod identity;
mod revocation;
mod rights;
mod tokens;

/// The checks of this group.
pub(super) const CHECKS: &[Check] = &[
    check!(
        "auth.no_token",
        Critical,
        Quick,
        [Need::WebSocket, Need::Auth],
        "no_token_accepted",
        "Who shows no credentials gets nothing but a refusal.",
        tokens::none
    ),
    check!(
        "auth.bad_signature",
        Critical,
        Quick,
        [Need::WebSocket, Need::Auth],
        "signature_unchecked",
        "A token that was signed with another key, changed after it was signed, or has no signature is refused.",
        tokens::bad_signature
    ),
    check!(
        "auth.alg_none",
        Critical,
        Quick,
        [Need::WebSocket, Need::Auth, Need::SigningKey],
        "alg_none_accepted",
        "A token that says it needs no signature is refused, however it spells that.",
        tokens::alg_none
    ),
    check!(
        "auth.expired",
        Critical,
        Quick,
        [Need::WebSocket, Need::Auth, Need::SigningKey],
        "expired_token_accepted",
        "A token that expired an hour ago is refused.",
        tokens::expired
    ),
    check!(
        "auth.expiry_required",
        Major,
        Quick,
        [Need::WebSocket, Need::Auth, Need::SigningKey],
        "expiry_not_required",
        "A token that never expires is refused.",
        tokens::endless
    ),
    check!(
        "auth.not_yet_valid",
        Critical,
        Quick,
        [Need::WebSocket, Need::Auth, Need::SigningKey],
        "nbf_ignored",
        "A token that becomes good in an hour is refused.",
        tokens::not_yet_valid
    ),
    check!(
        "auth.wrong_audience",
        Critical,
        Quick,
        [Need::WebSocket, Need::Auth, Need::SigningKey, Need::Audience],
        "audience_ignored",
        "A token that was made for another service, or for none, is refused.",
        tokens::wrong_audience
    ),
    check!(
        "auth.wrong_issuer",
        Critical,
        Quick,
        [Need::WebSocket, Need::Auth, Need::SigningKey, Need::Issuer],
        "issuer_ignored",
        "A token that another issuer made, or none, is refused.",
        tokens::wrong_issuer
    ),
    check!(
        "auth.user_required",
        Critical,
        Quick,
        [Need::WebSocket, Need::Auth, Need::SigningKey],
        "user_not_required",
        "A token that names no user, or one without a name, is refused.",
        tokens::nobody
    ),
    check!(
        "auth.places",
        Major,
        Quick,
        [Need::WebSocket, Need::Auth, Need::Places],
        "place_refused",
        "A good token opens a connection in every place where the server says that it takes tokens.",
        revocation::places
    ),
    check!(
        "auth.token_user",
        Critical,
        Quick,
        [Need::WebSocket, Need::Auth, Need::TwoUsers, Need::Agent, Need::Field("user")],
        "token_user_ignored",
        "A connection belongs to the user of its token: whatever names a user on it names that one.",
        identity::token_user
    ),
    check!(
        "auth.message_user",
        Critical,
        Quick,
        [Need::WebSocket, Need::Auth, Need::TwoUsers, Need::Agent],
        "message_user_believed",
        "A message that names another user is its sender's all the same, or is refused.",
        identity::message_user
    ),
    check!(
        "auth.renewal",
        Critical,
        Quick,
        [Need::WebSocket, Need::Auth, Need::TwoUsers, Need::Agent, Need::Message("authenticate")],
        "renewal_changes_user",
        "An open connection cannot be given to another user by showing that user's token.",
        identity::renewal
    ),
    check!(
        "auth.bypass_headers",
        Critical,
        Quick,
        [Need::WebSocket, Need::Auth, Need::BypassHeaders],
        "test_header_opens",
        "No header of a test, alone or with others, opens what credentials open.",
        bypass::headers
    ),
    check!(
        "auth.query_token",
        Major,
        Quick,
        [Need::WebSocket, Need::Auth],
        "query_token_accepted",
        "A token in the address, where logs and histories keep it, opens nothing.",
        bypass::query_token
    ),
    check!(
        "auth.refusal_silent",
        Major,
        Quick,
        [Need::WebSocket, Need::Auth, Need::SigningKey],
        "token_echoed",
        "A refusal repeats neither the token that it refuses nor a part of it.",
        bypass::refusal_silent
    ),
    check!(
        "auth.revoked",
        Critical,
        Quick,
        [Need::WebSocket, Need::Auth, Need::TwoUsers, Need::Admin, Need::Http("revoke")],
        "revocation_ignored",
        "When a user's tokens are revoked, the user's connections end, new ones are refused, and nobody else's are touched.",
        revocation::revoked
    ),
    check!(
        "auth.expiry_ends",
        Major,
        Full,
        [Need::WebSocket, Need::Auth, Need::SigningKey, Need::Limit("token_grace_seconds")],
        "expired_connection_stays",
        "A connection ends with its token, at most the grace later.",
        revocation::expiry_ends
    ),
    check!(
        "auth.renewal_counts",
        Major,
        Full,
        [
            Need::WebSocket,
            Need::Auth,
            Need::SigningKey,
            Need::Message("authenticate"),
            Need::Limit("token_grace_seconds")
        ],
        "renewal_forgotten",
        "A connection that was renewed with a token of its user lives as long as that one.",
        revocation::renewal_counts
    ),
    check!(
        "auth.user_exact",
        Critical,
        Quick,
        [Need::WebSocket, Need::Auth, Need::SigningKey, Need::Agent],
        "user_case_folded",
        "Users whose names differ are different users, be it by capitals or a space: none gets what is another's.",
        identity::exact
    ),
    check!(
        "auth.permissions",
        Critical,
        Quick,
        [Need::WebSocket, Need::Auth, Need::SigningKey, Need::Agent, Need::Event(Kind::Error), Need::Reader],
        "permissions_ignored",
        "Who connects with a token that does not allow to ask is refused when asking.",
        rights::permissions
    ),
    check!(
        "auth.admin_only",
        Critical,
        Quick,
        [Need::Auth, Need::Admin, Need::Http("admin")],
        "admin_for_all",
        "What is for administrators answers 401, 403 or 404 to everybody else.",
        rights::admin_only
    ),
    check!(
        "auth.ticket_once",
        Critical,
        Quick,
        [Need::WebSocket, Need::Auth, Need::Http("ticket")],
        "ticket_used_twice",
        "A ticket opens one connection of its buyer and no second one, and nobody gets one without credentials.",
        revocation::ticket_once
    ),
    check!(
        "auth.http",
        Critical,
        Quick,
        [Need::Auth, Need::Http("protected")],
        "http_unauthenticated",
        "The protected addresses answer 401 or 403 to who shows no credentials or bad ones.",
        http::protected
    ),
];
