//! Addresses as people write them: what each means, and what is refused with which words.

use std::net::SocketAddr;

use proptest::prelude::*;
use wireproof_protocol::{Address, AddressError, Authority, SOCKET_PATH, Scheme, listen_address};

/// A socket's address without a path was asked for `/`, where no socket is; schemes counted in small letters only.
#[test]
fn a_socket_has_its_path_and_any_case_of_scheme() {
    for (text, url, host, port) in [
        ("ws://127.0.0.1:8787", "ws://127.0.0.1:8787/ws", "127.0.0.1", 8787),
        ("WS://localhost/", "ws://localhost/ws", "localhost", 80),
        ("wSs://a.example?x=1", "wss://a.example/ws?x=1", "a.example", 443),
        ("ws://a.example/?x=1", "ws://a.example/ws?x=1", "a.example", 80),
        ("wss://a.example:1/socket?x=%20&y", "wss://a.example:1/socket?x=%20&y", "a.example", 1),
        ("ws://[::1]:65535/ws", "ws://[::1]:65535/ws", "::1", 65535),
        ("ws://[fe80::1%25eth0]:9", "ws://[fe80::1]:9/ws", "fe80::1%eth0", 9),
        ("ws://[fe80::1%eth0]", "ws://[fe80::1]/ws", "fe80::1%eth0", 80),
        ("ws://a_b-c.example./ws", "ws://a_b-c.example./ws", "a_b-c.example.", 80),
    ] {
        let address = Address::socket(text).unwrap().or_path(SOCKET_PATH);
        assert_eq!((address.url().as_str(), address.host(), address.port()), (url, host, port), "{text}");
    }
}

/// A port that is no port was left out without a word, and the token went to port 80.
#[test]
fn what_is_no_address_is_refused_with_a_reason_and_an_example() {
    let refused = |text: &str| Address::socket(text).unwrap_err();
    for (text, why) in [
        ("", "empty"),
        ("ws://127.0.0.1:99999/ws", "\"99999\""),
        ("ws://127.0.0.1:0/ws", "from 1 to 65535"),
        ("ws://127.0.0.1:65536/ws", "from 1 to 65535"),
        ("ws://127.0.0.1:/ws", "port is missing"),
        ("ws://127.0.0.1:+80/ws", "\"+80\""),
        ("ws://127.0.0.1:-1/ws", "\"-1\""),
        ("ws://127.0.0.1:8_0/ws", "from 1 to 65535"),
        ("ws://127.0.0.1: 80/ws", "a space"),
        (" ws://127.0.0.1/ws", "a space"),
        ("ws://127.0.0.1/ws\n", "a line break"),
        ("ws://127.0.0.1/ws\r", "a line break"),
        ("\u{feff}ws://127.0.0.1/ws", "\\u{feff}"),
        ("\"ws://127.0.0.1/ws\"", "the character"),
        ("ws://127.0.0.1\\ws", "the character"),
        ("http://127.0.0.1/ws", "ws or wss"),
        ("ftp://127.0.0.1/ws", "ws or wss"),
        ("127.0.0.1:8787", "begin with ws:// or wss://"),
        ("ws:127.0.0.1", "begin with"),
        ("ws://", "no host"),
        ("ws:///ws", "no host"),
        ("ws://:8787/ws", "no host"),
        ("ws://::1/ws", "[::1]"),
        ("ws://[::1/ws", "not closed"),
        ("ws://[::g]/ws", "no IPv6"),
        ("ws://[]:1/ws", "no IPv6"),
        ("ws://[127.0.0.1]:1/ws", "no IPv6"),
        ("ws://[::1]8787/ws", ":PORT"),
        ("ws://[fe80::1%]/ws", "zone"),
        ("ws://[::1%25lo]/ws", "zone"),
        ("ws://[::1%lo]:8787/ws", "zone"),
        ("ws://[2001:db8::7%1]/ws", "zone"),
        ("ws://[::%25lo]/ws", "zone"),
        ("ws://a:1:2/ws", "from 1 to 65535"),
        ("ws://127.0.0.256/ws", "IPv4"),
        ("ws://127.1/ws", "IPv4"),
        ("ws://8787/ws", "IPv4"),
        ("ws://a..b/ws", "no name"),
        ("ws://bücher.example/ws", "the character"),
        ("ws://a.example/ws#x", "fragment"),
        ("ws://user@a.example/ws", "credentials"),
    ] {
        let error = refused(text);
        assert!(error.to_string().contains(why), "{text:?}: {error}");
        assert!(error.next().contains("ws://127.0.0.1:8787/ws"), "{text:?}: {}", error.next());
    }
    assert!(refused(&format!("ws://{}.example/ws", "a".repeat(64))).to_string().contains("no name"));
}

/// A password or a token in an address was shown in the error, and so in logs.
#[test]
fn what_may_be_secret_in_an_address_is_not_shown() {
    for text in [
        "ws://ada:hunter2@a.example/ws",
        "ada:hunter2@a.example",
        "ws://ada:hunter2@b@a.example/ws",
        "ws://a.example:0/ws?token=hunter2",
        "ws://a.example/ws#hunter2",
    ] {
        let error = Address::socket(text).unwrap_err();
        assert!(!error.to_string().contains("hunter2") && !error.reason().contains("hunter2"), "{error}");
    }
    let long = Address::socket(&"x".repeat(10_000)).unwrap_err().to_string();
    assert!(long.len() < 400, "{long}");
}

#[test]
fn each_kind_of_address_takes_its_own_schemes_and_paths() {
    assert_eq!(Address::base("HTTPS://a.example:8443/").unwrap().url(), "https://a.example:8443");
    assert_eq!(Address::base("http://[::1]").unwrap().authority(), "[::1]");
    for text in ["http://a.example/api", "http://a.example?x=1", "ws://a.example", "HTTPS//a.example"] {
        assert!(Address::base(text).is_err(), "{text}");
    }
    let keys = Address::web("https://issuer.example/keys?v=1").unwrap();
    assert_eq!((keys.path().as_str(), keys.scheme()), ("/keys?v=1", Scheme::Https));
    assert!(keys.scheme().is_encrypted() && !keys.is_loopback());
    assert_eq!(Address::any("Https://a.example?x").unwrap().path(), "/?x");
    assert_eq!(Address::any("ws://a.example").unwrap().host_and_port(), "a.example:80");
    for (text, here) in [
        ("http://localhost:1", true),
        ("http://LOCALHOST", true),
        ("http://127.9.9.9", true),
        ("http://[::ffff:127.0.0.1]", true),
        ("http://localhost.example", false),
        ("http://10.0.0.1", false),
    ] {
        assert_eq!(Address::web(text).unwrap().is_loopback(), here, "{text}");
    }
    let upstream = Authority::parse("[fe80::1%2]:80").unwrap();
    assert_eq!((upstream.host(), upstream.port()), ("fe80::1%2", Some(80)));
    assert_eq!(upstream.to_string(), "[fe80::1%252]:80");
}

/// `--listen localhost:8787` and `:8787` were refused as "invalid socket address syntax".
#[test]
fn where_to_listen_is_this_machine_unless_all_addresses_are_written_out() {
    for (text, address) in [
        ("127.0.0.1:8787", "127.0.0.1:8787"),
        ("localhost:8787", "127.0.0.1:8787"),
        ("LocalHost:0", "127.0.0.1:0"),
        (":8787", "127.0.0.1:8787"),
        (":0", "127.0.0.1:0"),
        ("8787", "127.0.0.1:8787"),
        ("0.0.0.0:8787", "0.0.0.0:8787"),
        ("[::]:8787", "[::]:8787"),
        ("[::1]:0", "[::1]:0"),
    ] {
        assert_eq!(listen_address(text), Ok(address.parse::<SocketAddr>().unwrap()), "{text}");
    }
    let words = |error: &AddressError| format!("{error} {}", error.next());
    for (text, why) in [
        ("", "empty"),
        ("nowhere", "no port"),
        ("127.0.0.1", "no port"),
        ("[::1]", "no port"),
        ("::1", "brackets"),
        ("::1:8787", "brackets"),
        (":99999", "from 1 to 65535"),
        ("localhost:+80", "\"+80\""),
        ("localhost:", "port is missing"),
        ("127.0.0.1:70000", "from 1 to 65535"),
        (" 127.0.0.1:80", "a space"),
        ("*:8787", "no address"),
        ("a.example:8787", "no name but localhost"),
        ("http://127.0.0.1:8787", "scheme"),
        ("a@localhost:80", "no name but localhost"),
    ] {
        let error = listen_address(text).unwrap_err();
        assert!(words(&error).contains(why), "{text:?}: {}", words(&error));
        assert!(words(&error).contains("0.0.0.0:8787 or [::]:8787"), "{text:?}");
    }
}

proptest! {
    #[test]
    fn what_is_read_reads_the_same_again(text in "[Ww][sS][Ss]?://([a-z]{1,5}|\\[::[1-9]\\])(:[1-9][0-9]{0,3})?(/[a-z]{0,3})?(\\?[a-z=]{0,4})?") {
        let address = Address::socket(&text).unwrap();
        prop_assert_eq!(Address::socket(&address.to_string()), Ok(address));
    }

    #[test]
    fn no_text_whatsoever_panics(text in "\\PC{0,40}|[\\[\\]:/@%?#.0-9a-zA-Z]{0,20}") {
        let _ = (Address::any(&text), Address::base(&text), listen_address(&text), Authority::parse(&text));
    }
}
