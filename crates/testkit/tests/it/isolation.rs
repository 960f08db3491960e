//! Fifty users at once who do all they can to be taken for each other: not a byte of one reaches another.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::json;
use wireproof_client::Connect;
use wireproof_protocol::Outcome;
use wireproof_testkit::{TestClient, TestServer, TestUser, event, frame};

use crate::tap::Tap;

const USERS: usize = 50;
const RUNS: usize = 20;
/// What every marker begins with; the rest is the user's own secret.
const MARK: &[u8] = b"zqmark";

/// One user's secret, of a length of its own kind, so that no one's is part of another's.
fn marker(user: usize) -> String {
    format!("zqmark{user:02}x{:08x}", (user as u32 + 1).wrapping_mul(0x9e37_79b9))
}

/// Every marker in the bytes.
fn markers_in(bytes: &[u8]) -> impl Iterator<Item = String> {
    let length = marker(0).len();
    let starts = bytes.windows(MARK.len()).enumerate().filter(|(_, window)| *window == MARK);
    starts.map(move |(at, _)| String::from_utf8_lossy(&bytes[at..bytes.len().min(at + length)]).into_owned())
}

struct Device {
    client: TestClient,
    tap: Tap,
}

async fn device(server: &TestServer, user: &TestUser) -> Device {
    let tap = Tap::before(server.address()).await;
    let connect = Connect::to(format!("ws://{}/ws", tap.address)).token(user.token());
    let client = user.open(connect).await;
    client.expect("connection_established").await;
    Device { client, tap }
}

/// All of one user: two devices, a thread with everybody's title, and twenty runs with everybody's request ids.
async fn live(server: &TestServer, number: usize) -> Vec<Device> {
    let user = server.user(&format!("user-{number}"));
    let devices = vec![device(server, &user).await, device(server, &user).await];
    let create = json!({ "type": "create_thread", "title": "Our plans", "id": "thread" });
    devices[0].client.send(create).await;
    let thread = devices[0].client.expect(frame("ack").field("id", "thread")).await;
    let secret = marker(number);
    for run in 0..RUNS {
        // Half of the runs answer in the shared thread, half open new ones with the same title but for the secret.
        let thread_id = (run % 2 == 0).then(|| thread["thread_id"].clone());
        let content = format!("What is the longest word in \"{secret} is mine\", and what is 17*{run}?");
        let chat =
            json!({ "type": "chat", "content": content, "thread_id": thread_id, "id": format!("run-{run}") });
        devices[run / 2 % 2].client.send(chat).await;
    }
    for device in &devices {
        for _ in 0..RUNS {
            device.client.expect(event("agent_completed").field("outcome", "success")).await;
        }
        device.client.barrier().await;
    }
    devices
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heavy_fifty_users_at_once_and_not_a_byte_on_the_wrong_connection() {
    let server = TestServer::start_with(|config| config.limits.messages_per_minute = 0).await;
    let users = join_all((0..USERS).map(|number| live(&server, number))).await;
    let (mut bytes, mut found, mut events) = (0, 0, 0);
    let mut run_ids = BTreeSet::new();
    for (number, devices) in users.iter().enumerate() {
        let own = marker(number);
        for Device { client, tap } in devices {
            let heard = tap.heard();
            bytes += heard.len();
            let mut own_markers = 0;
            for marker in markers_in(&heard) {
                assert_eq!(marker, own, "user-{number} received a byte of another's:\n{}", client.table());
                own_markers += 1;
            }
            let words = format!("\"user_id\":\"user-{number}\"");
            assert!(
                client
                    .frames()
                    .iter()
                    .all(|arrival| { arrival.event().is_none() || arrival.text.contains(&words) })
            );
            // In the message, the thought, the parameters, the result, the answer's pieces and the answer.
            assert!(own_markers >= 6 * RUNS, "user-{number} saw its own marker {own_markers} times");
            found += own_markers;
            client.assert_exactly_once();
            let state = client.state();
            assert_eq!((state.runs.len(), state.threads.len()), (RUNS, 1 + RUNS / 2));
            for run_id in state.runs.keys() {
                let run = client.run(*run_id);
                assert_eq!(run.check().unwrap().outcome(), Some(Outcome::Success));
            }
        }
        let texts = |device: &Device| -> Vec<String> {
            let frames = device.client.frames();
            frames
                .iter()
                .filter(|arrival| arrival.event().is_some())
                .map(|arrival| arrival.text.clone())
                .collect()
        };
        let (first, second) = (texts(&devices[0]), texts(&devices[1]));
        assert_eq!(first, second, "both devices of user-{number} see the same log");
        events += first.len() + second.len();
        for run in 0..RUNS {
            let accepted = |device: &Device| {
                let of_id = frame("accepted").field("id", format!("run-{run}"));
                device.client.frames().iter().filter(|arrival| of_id.matches(arrival)).count()
            };
            let (asked, other) = (&devices[run / 2 % 2], &devices[1 - run / 2 % 2]);
            assert_eq!((accepted(asked), accepted(other)), (1, 0), "the answer goes to who asked");
        }
        run_ids.extend(devices[0].client.state().runs.into_keys());
    }
    assert_eq!(run_ids.len(), USERS * RUNS, "no run id twice");
    server.idle().await;
    println!("{bytes} bytes on {} connections, {events} events, {found} markers, none foreign", 2 * USERS);
}
