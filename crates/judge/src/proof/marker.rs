//! Strings that only one user can have said, and finding them in whatever a server sends: `wk1` and twenty characters of
//! a keyed hash, letters and digits alone, which nothing needs to escape.

use std::collections::{BTreeMap, HashMap};

use aws_lc_rs::hmac;
use base64::{
    Engine, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose::STANDARD_NO_PAD},
};
use foldhash::fast::FixedState;
use memchr::memmem::Finder;

/// What every marker begins with.
const PREFIX: &str = "wk1";
/// Characters behind the prefix: 100 bits.
const TAIL: usize = 20;
/// Characters of a marker.
const LENGTH: usize = PREFIX.len() + TAIL;
/// The fewest characters behind the prefix by which a marker that was cut off is still told.
const SHORTEST: usize = 8;
/// What JSON's escapes of letters and digits begin with.
const ESCAPE: &str = "\\u00";
const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";

/// Makes the markers of one user.
pub struct MarkerKey(hmac::Key);

impl MarkerKey {
    /// The markers of a user in a proof of this seed; nobody who does not know the seed can guess one.
    pub fn new(seed: u64, user: &str) -> Self {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &seed.to_be_bytes());
        let secret = hmac::sign(&key, user.as_bytes());
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.as_ref()))
    }

    /// The marker for a field of the user's n-th request.
    pub fn marker(&self, request: usize, field: &str) -> String {
        let tag = hmac::sign(&self.0, format!("{request}/{field}").as_bytes());
        let mut marker = String::with_capacity(LENGTH);
        marker.push_str(PREFIX);
        let (mut bits, mut held) = (0u32, 0u32);
        for byte in &tag.as_ref()[..(TAIL * 5).div_ceil(8)] {
            (bits, held) = ((bits << 8) | u32::from(*byte), held + 8);
            while held >= 5 && marker.len() < LENGTH {
                held -= 5;
                marker.push(char::from(DIGITS[(bits >> held) as usize & 31]));
            }
            bits &= (1 << held) - 1;
        }
        marker
    }
}

/// A marker in a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Whose it is: the number that it was added with; nothing for a marker that nobody has.
    pub owner: Option<u32>,
    /// Where in the text it begins.
    pub at: usize,
    /// Where behind it the text goes on.
    pub end: usize,
    /// The marker, or what was left of it.
    pub marker: String,
    /// How it was written, if not as it is: words to put behind the place.
    pub way: &'static str,
}

/// Finds markers, in the plain, in the escapes of JSON, and in base64 at each of its three alignments, in one pass each.
pub struct Scanner {
    owners: HashMap<[u8; TAIL], u32, FixedState>,
    /// The same in order, for markers that were cut off; made when it is needed first.
    sorted: BTreeMap<[u8; TAIL], u32>,
    plain: Finder<'static>,
    escape: Finder<'static>,
    /// What the prefix looks like in base64, and how many characters of the group stand before it.
    encoded: [(Finder<'static>, usize); 3],
}

impl Default for Scanner {
    fn default() -> Self {
        let encoded = [0usize, 1, 2].map(|shift| {
            let mut group = vec![0u8; shift];
            group.extend_from_slice(PREFIX.as_bytes());
            // Only characters that hold nothing but bits of the prefix are the same everywhere.
            let (first, last) = ((shift * 8).div_ceil(6), (shift + PREFIX.len()) * 8 / 6);
            let text = STANDARD_NO_PAD.encode(&group);
            (Finder::new(&text[first..last]).into_owned(), first)
        });
        let (owners, sorted) = (HashMap::default(), BTreeMap::new());
        Self { owners, sorted, plain: Finder::new(PREFIX), escape: Finder::new(ESCAPE), encoded }
    }
}

impl Scanner {
    /// Makes a marker known; what is no marker is not.
    pub fn add(&mut self, marker: &str, owner: u32) -> bool {
        let tail = marker.strip_prefix(PREFIX).and_then(|tail| <[u8; TAIL]>::try_from(tail.as_bytes()).ok());
        if let Some(tail) = tail {
            self.owners.insert(tail, owner);
            self.sorted.insert(tail, owner);
        }
        tail.is_some()
    }

    /// The whole markers in a text, as they are written by whoever says one, known or not.
    pub fn markers_in(text: &str) -> impl Iterator<Item = &str> {
        text.match_indices(PREFIX).filter_map(|(at, _)| {
            let marker = text.get(at..at + LENGTH)?;
            marker[PREFIX.len()..].bytes().all(|byte| DIGITS.contains(&byte)).then_some(marker)
        })
    }

    /// Every marker in a text, in the order of the ways of writing it.
    pub fn scan(&self, text: &str, mut found: impl FnMut(Found)) {
        if self.owners.is_empty() {
            return;
        }
        self.scan_as_it_is(text, "", &mut found);
        if let Some(text) = self.unescaped(text) {
            self.scan_as_it_is(&text, " without its escapes", &mut found);
        }
        let bytes = text.as_bytes();
        for (finder, before) in &self.encoded {
            for place in finder.find_iter(bytes) {
                let Some(at) = place.checked_sub(*before) else { continue };
                let group = &bytes[at..bytes.len().min(at + (LENGTH + 2).div_ceil(3) * 4)];
                if let Some((owner @ Some(_), marker)) = decoded(group).and_then(|plain| {
                    let start = self.plain.find(&plain)?;
                    self.read(&plain[start..])
                }) {
                    found(Found { owner, at, end: at + group.len(), marker, way: ", in base64" });
                }
            }
        }
    }

    fn scan_as_it_is(&self, text: &str, way: &'static str, found: &mut impl FnMut(Found)) {
        let bytes = text.as_bytes();
        for at in self.plain.find_iter(bytes) {
            if let Some((owner, marker)) = self.read(&bytes[at..]) {
                found(Found { owner, at, end: at + marker.len(), marker, way });
            }
        }
    }

    /// The text with the letters and digits that JSON's escapes stand for, if there are such escapes: none needs one,
    /// and whoever writes one all the same hides what it says.
    fn unescaped(&self, text: &str) -> Option<String> {
        let mut at = self.escape.find(text.as_bytes())?;
        let (mut plain, mut rest, mut undone) = (String::with_capacity(text.len()), text, false);
        loop {
            let code = rest.get(at + ESCAPE.len()..at + ESCAPE.len() + 2);
            let byte =
                code.and_then(|code| u8::from_str_radix(code, 16).ok()).filter(u8::is_ascii_alphanumeric);
            plain.push_str(&rest[..at]);
            plain.push_str(if byte.is_some() { "" } else { ESCAPE });
            plain.extend(byte.map(char::from));
            undone |= byte.is_some();
            rest = &rest[at + ESCAPE.len() + if byte.is_some() { 2 } else { 0 }..];
            match self.escape.find(rest.as_bytes()) {
                Some(next) => at = next,
                None => break,
            }
        }
        plain.push_str(rest);
        undone.then_some(plain)
    }

    /// The marker that a text begins with, and whose it is.
    fn read(&self, bytes: &[u8]) -> Option<(Option<u32>, String)> {
        let tail = &bytes[PREFIX.len()..];
        let length = tail.iter().take(TAIL).take_while(|byte| DIGITS.contains(byte)).count();
        let tail = &tail[..length];
        let owner = match <[u8; TAIL]>::try_from(tail) {
            Ok(tail) => self.owners.get(&tail).copied(),
            Err(_) if length < SHORTEST => return None,
            Err(_) => {
                let mut from = [0; TAIL];
                from[..length].copy_from_slice(tail);
                let next = self.sorted.range(from..).next();
                next.filter(|(known, _)| known.starts_with(tail)).map(|(_, owner)| *owner)
            }
        };
        Some((owner, format!("{PREFIX}{}", String::from_utf8_lossy(tail))))
    }
}

/// What a text in base64 says, as far as it is base64: whole groups, and what can be had of the last.
fn decoded(text: &[u8]) -> Option<Vec<u8>> {
    // Of the characters that tell the alphabets apart none can be in a marker.
    let is_digit = |byte: &&u8| byte.is_ascii_alphanumeric() || b"+/-_".contains(byte);
    let length = text.iter().take_while(is_digit).count();
    let mut text: Vec<u8> = text[..length - usize::from(length % 4 == 1)].to_vec();
    text.iter_mut().for_each(|byte| {
        *byte = match *byte {
            b'-' => b'+',
            b'_' => b'/',
            other => other,
        }
    });
    // The last group may stop within a byte: those bits are no part of a marker.
    let lax = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::RequireNone);
    GeneralPurpose::new(&alphabet::STANDARD, lax).decode(&text).ok()
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use proptest::prelude::*;

    use super::*;

    fn scanner() -> (Scanner, Vec<String>) {
        let mut scanner = Scanner::default();
        let markers: Vec<_> =
            (0..50).map(|user| MarkerKey::new(7, &format!("u{user}")).marker(3, "text")).collect();
        (0..).zip(&markers).for_each(|(owner, marker)| assert!(scanner.add(marker, owner)));
        (scanner, markers)
    }

    fn found(scanner: &Scanner, text: &str) -> Vec<Found> {
        let mut all = Vec::new();
        scanner.scan(text, |found| all.push(found));
        all
    }

    #[test]
    fn a_marker_is_letters_and_digits_and_its_users_own() {
        let marker =
            |seed, user: &str, request, field: &str| MarkerKey::new(seed, user).marker(request, field);
        let one = marker(1, "ada", 0, "text");
        assert_eq!(one.len(), LENGTH);
        assert!(one.bytes().all(|byte| byte.is_ascii_alphanumeric()));
        assert_eq!(one, marker(1, "ada", 0, "text"));
        for other in [
            marker(2, "ada", 0, "text"),
            marker(1, "eve", 0, "text"),
            marker(1, "ada", 1, "text"),
            marker(1, "ada", 0, "id"),
        ] {
            assert_ne!(one, other);
        }
    }

    proptest! {
        /// Wherever a marker stands in a text, plain or in base64 of it, it is found and is its owner's.
        #[test]
        fn a_marker_is_found_wherever_it_stands(before in "[ -~äß]{0,40}", after in "[ -~€]{0,40}", who in 0..50usize, way in 0..3) {
            prop_assume!(!before.contains(PREFIX) && !after.contains(PREFIX));
            let (scanner, markers) = scanner();
            let text = format!("{before}{}{after}", markers[who]);
            let text = match way {
                0 => text,
                1 => format!("{{\"blob\":\"{}==\"}}", STANDARD_NO_PAD.encode(&text)),
                _ => format!("x {}", URL_SAFE_NO_PAD.encode(&text)),
            };
            let all = found(&scanner, &text);
            prop_assert!(all.iter().any(|found| found.owner == Some(who as u32) && found.marker == markers[who]), "{text}: {all:?}");
            prop_assert!(all.iter().all(|found| found.owner.is_none_or(|owner| owner == who as u32)));
        }

        #[test]
        fn nothing_is_found_where_no_marker_is(text in "[a-zA-Z0-9+/ =wk1d2sx]{0,400}") {
            let (scanner, _) = scanner();
            prop_assert!(found(&scanner, &text).iter().all(|found| found.owner.is_none()));
        }
    }

    /// The module once said that no escaping hides a marker, and the escapes of JSON did.
    #[test]
    fn a_marker_in_the_escapes_of_json_is_found() {
        let (scanner, markers) = scanner();
        let escaped = |marker: &str, every: usize| -> String {
            let escape = |(at, c): (usize, char)| match at % every {
                0 => format!("\\u{:04x}", u32::from(c)),
                _ => c.to_string(),
            };
            marker.chars().enumerate().map(escape).collect()
        };
        for every in [1, 5, 40] {
            let all = found(&scanner, &format!("{{\"a\":\"\\u00e4 {}\\u0\"}}", escaped(&markers[6], every)));
            assert!(matches!(&all[..], [one] if one.owner == Some(6) && one.marker == markers[6]), "{all:?}");
        }
        assert_eq!(found(&scanner, "\\u00"), vec![]);
    }

    #[test]
    fn a_marker_that_was_cut_off_is_told_and_one_of_nobody_is_nobodys() {
        let (scanner, markers) = scanner();
        let cut = found(&scanner, &format!("it began with {}…", &markers[4][..3 + SHORTEST]));
        assert_eq!(cut[0].owner, Some(4));
        assert_eq!(found(&scanner, "wk1abc, wk1"), vec![]);
        let nobodys = found(&scanner, &MarkerKey::new(9, "eve").marker(0, "text"));
        assert_eq!((nobodys.len(), nobodys[0].owner), (1, None));
    }
}
