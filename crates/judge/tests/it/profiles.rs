//! Profiles: those that ship can be read, the page about them knows every key, and a wrong one says what is wrong.

use wireproof_judge::profile::{Profile, ProfileError};
use wireproof_protocol::ControlBody;

/// Where the keys stand, with their sentences.
const SOURCES: [&str; 3] = [
    include_str!("../../src/profile.rs"),
    include_str!("../../src/profile/sections.rs"),
    include_str!("../../src/profile/frames.rs"),
];
const PAGE: &str = include_str!("../../../../docs/profiles.md");

#[test]
fn all_that_ship_can_be_read_by_their_names() {
    for name in Profile::NAMES {
        assert_eq!(Profile::find(name).unwrap().name, *name);
    }
}

/// `heartbeat_ack` was no control frame to the profile, so its position counted as the number of an event.
#[test]
fn no_control_frame_of_a_wireproof_server_is_an_event() {
    let profile = Profile::find("wireproof").unwrap();
    for name in ControlBody::NAMES {
        assert!(profile.kind_of(name).is_control(), "{name}: {:?}", profile.kind_of(name));
    }
}

#[test]
fn the_examples_of_the_page_are_profiles() {
    let mut examples = 0;
    for block in PAGE.split("```toml\n").skip(1) {
        Profile::parse("the page", block.split("```").next().unwrap()).unwrap();
        examples += 1;
    }
    assert!(examples > 0, "the page has no example");
}

/// Every key with its sentence, as the source has it: `(key, sentence)`.
fn keys() -> Vec<(String, String)> {
    let (mut keys, mut sentence) = (Vec::new(), String::new());
    let structs = SOURCES.iter().flat_map(|source| source.split("\npub struct ").skip(1));
    let structs = structs.map(|text| text.split("\n}").next().unwrap());
    for line in structs.flat_map(str::lines).map(str::trim) {
        if let Some(doc) = line.strip_prefix("///") {
            sentence = format!("{sentence} {}", doc.trim());
        } else if let Some((key, _)) = line.strip_prefix("pub ").and_then(|field| field.split_once(':')) {
            keys.push((key.to_owned(), std::mem::take(&mut sentence).trim().to_owned()));
        }
    }
    keys
}

#[test]
fn the_page_has_every_key_with_its_meaning() {
    let keys = keys();
    assert!(keys.len() > 80, "only {} keys were found in the source", keys.len());
    // A table of the page is told by its heading.
    let is_table =
        |key: &str| PAGE.contains(&format!("### `[{key}]`")) || PAGE.contains(&format!(".{key}]`\n"));
    let missing: Vec<String> = keys
        .iter()
        .filter(|(key, _)| !is_table(key))
        .map(|(key, sentence)| format!("| `{key}` | {sentence} |"))
        .filter(|row| !PAGE.contains(row.as_str()))
        .collect();
    assert!(missing.is_empty(), "docs/profiles.md lacks these rows:\n{}", missing.join("\n"));
}

#[test]
fn what_is_wrong_with_a_profile_is_said() {
    let wrong = [
        ("name = \"x\"", "missing field `about`"),
        ("name = \"x\"\nabout = \"y\"\n[endpoint]\npth = \"/\"", "unknown field `pth`"),
        ("name = \"x\"\nabout = \"y\"\n[endpoint]\ntransport = \"udp\"", "unknown variant `udp`"),
        ("name = \"x\"\nabout = \"y\"\n[order]\nrequired = [\"begun\"]", "unknown variant `begun`"),
        ("name = ", "line 1"),
        // Of a form that is not known, nothing else is said.
        ("schema = 2\nname = \"x\"\nnew = 1", "it is of schema 2, and this program reads schema 1"),
    ];
    for (text, why) in wrong {
        let error = Profile::parse("mine.toml", text).unwrap_err().to_string();
        assert!(error.contains("mine.toml") && error.contains(why), "{text:?}: {error}");
    }
    let none = Profile::find("no-such-profile").unwrap_err();
    assert!(matches!(none, ProfileError::Unknown { .. }) && none.to_string().contains("ag-ui"), "{none}");
}

/// A name that no key knows was sent as it stands, and each check said that the server gave no answer.
#[test]
fn a_name_in_braces_that_there_is_not_is_told_with_its_line_and_those_that_there_are() {
    let begin = "name = \"x\"\nabout = \"y\"\n";
    let wrong = [
        (
            "[messages]\nping = '{\"id\":{id}}'\nask = '{\"a\":{txt},\"id\":{id}}'",
            "line 5: messages.ask does not know {txt}; the names there are {text}, {id}",
        ),
        // The same name is known above, and not here.
        (
            "[messages]\nask = '{\"a\":{text}}'\nping = '{\"a\":{text}}'",
            "line 5: messages.ping does not know {text}",
        ),
        (
            "[prompts]\nplain = \"{markr}\"",
            "line 4: prompts.plain does not know {markr}; the names there are {marker}",
        ),
        ("[prompts]\nslow = \"count {marker}\"", "line 4: prompts.slow knows no names in braces"),
        ("[prompts]\ntool_answer = \"{prod}\"", "{product}, {sum}, {a}, {b}"),
        ("[resume]\nresumed = \"r\"\nquery = \"at={seq}\"", "line 5: resume.query does not know {seq}"),
        (
            "[http]\nthread = \"/t/{id}\"",
            "line 4: http.thread does not know {id}; the names there are {thread}",
        ),
        (
            "[http]\nrevoke = { path = \"/r\", body = '{\"u\":{usr}}' }",
            "http.revoke.body does not know {usr}",
        ),
        ("[endpoint]\naliases = [\"/a\", \"/{b}\"]", "line 4: endpoint.aliases knows no names"),
        (
            "[messages]\nask = '{\"a\":\"{text}\"}'",
            "line 4: messages.ask is no JSON once its names are filled in",
        ),
    ];
    for (text, why) in wrong {
        let error = Profile::parse("mine.toml", &format!("{begin}{text}")).unwrap_err().to_string();
        assert!(error.contains("mine.toml") && error.contains(why), "{text}: {error}");
    }
}
