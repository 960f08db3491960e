//! However the bytes are cut into pieces, the same frames are found.

use proptest::prelude::*;

use super::*;

const REQUEST: &[u8] = b"GET /ws HTTP/1.1\r\nHost: a\r\nuPGRADE: h2c, WebSocket\r\n\r\n";
const ANSWER: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n";

/// What a follower saw: each frame's head and payload, and all bytes in order.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    frames: Vec<(FrameHeader, Vec<u8>)>,
    messages: u64,
    bytes: Vec<u8>,
}

fn follow<'a>(direction: Direction, pieces: impl IntoIterator<Item = &'a [u8]>) -> Seen {
    let (mut follower, mut seen) = (Follower::new(direction), Seen::default());
    for mut piece in pieces {
        while let Some(segment) = follower.next(&mut piece) {
            seen.bytes.extend(segment.bytes());
            match segment {
                Segment::Header(_, Some(head)) => seen.frames.push((head, Vec::new())),
                Segment::Payload(payload, ended) => {
                    let (head, so_far) = seen.frames.last_mut().expect("a header comes first");
                    so_far.extend(payload);
                    assert_eq!(ended, so_far.len() as u64 == head.length);
                }
                Segment::Header(_, None) | Segment::Plain(_) => {}
            }
        }
    }
    Seen { messages: follower.messages(), ..seen }
}

fn frame() -> impl Strategy<Value = (FrameHeader, Vec<u8>)> {
    let length = prop_oneof![4 => 0..130usize, 1 => 65_530..65_540usize];
    let kind =
        prop_oneof![Just(0x81u8), Just(0x01), Just(0x00), Just(0x80), Just(0x82), Just(0x89), Just(0x8a)];
    (kind, any::<Option<[u8; 4]>>(), length, any::<u8>()).prop_map(|(first, mask, length, fill)| {
        // A control frame is short.
        let length = if first & 0x08 != 0 { length.min(125) } else { length };
        (FrameHeader { first, mask, length: length as u64 }, vec![fill; length])
    })
}

fn cut(bytes: &[u8], places: &[prop::sample::Index]) -> Vec<usize> {
    let mut places: Vec<usize> = places.iter().map(|place| place.index(bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_cut_into_pieces_gives_the_same_frames(
        frames in prop::collection::vec(frame(), 0..8),
        to_server in any::<bool>(),
        places in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let (direction, head) =
            if to_server { (Direction::ToServer, REQUEST) } else { (Direction::ToClient, ANSWER) };
        let mut bytes = head.to_vec();
        for (head, payload) in &frames {
            head.write(&mut bytes);
            bytes.extend(payload);
        }
        let places = cut(&bytes, &places);
        let seen = follow(direction, places.windows(2).map(|ends| &bytes[ends[0]..ends[1]]));
        let messages = frames.iter().filter(|(head, _)| head.is_final() && !head.is_control()).count();
        prop_assert_eq!(seen.messages, messages as u64);
        prop_assert_eq!(&seen.frames, &frames);
        prop_assert_eq!(seen.bytes, bytes);
    }

    #[test]
    fn bytes_of_any_kind_come_out_as_they_went_in(bytes in prop::collection::vec(any::<u8>(), 0..600), upgraded: bool) {
        let head = if upgraded { ANSWER } else { b"" };
        let bytes = [head, &bytes].concat();
        prop_assert_eq!(follow(Direction::ToClient, bytes.chunks(7)).bytes, bytes);
    }
}

#[test]
fn byte_by_byte_is_like_all_at_once() {
    let mut bytes = REQUEST.to_vec();
    for length in [0, 1, 125, 126, 65_535, 65_536] {
        FrameHeader { first: 0x81, mask: Some([1, 2, 3, 4]), length }.write(&mut bytes);
        bytes.extend(vec![b'x'; length as usize]);
    }
    let whole = follow(Direction::ToServer, [&bytes[..]]);
    assert_eq!((whole.frames.len(), whole.messages), (6, 6));
    assert_eq!(follow(Direction::ToServer, bytes.chunks(1)), whole);
}

#[test]
fn what_is_no_websocket_is_not_followed() {
    let refused = b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 4\r\n\r\n\x81\x02no".as_slice();
    let asked = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\x81\x02no".as_slice();
    for (direction, bytes) in [(Direction::ToClient, refused), (Direction::ToServer, asked)] {
        let seen = follow(direction, bytes.chunks(3));
        assert_eq!((seen.frames.len(), seen.bytes.as_slice()), (0, bytes));
    }
    let endless = [ANSWER, b"\x82\x7f\xff\xff\xff\xff\xff\xff\xff\xff rest"].concat();
    assert_eq!(follow(Direction::ToClient, endless.chunks(2)).frames, []);
}
