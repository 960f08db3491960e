//! The client against the real server: every way in, and what it shows when connections and servers die.

use std::{net::SocketAddr, path::Path, time::Duration};

use tempfile::TempDir;
use wireproof_client::{
    Backoff, Client, ClientError, Connect, Credentials, GiveUp, OpenError, Start, Update,
};
use wireproof_protocol::{
    ClientFrame, ControlBody, Epoch, ErrorCode, Event, EventBody, Position, UserId, UserState,
};
use wireproof_server::{Config, Server, auth::Keys};

const WITHIN: Duration = Duration::from_secs(10);
const BACKOFF: Backoff =
    Backoff { first: Duration::from_millis(50), most: Duration::from_millis(200), attempts: 50 };

async fn server(folder: &TempDir, listen: Option<SocketAddr>) -> Server {
    let mut config = Config { data_dir: folder.path().to_owned(), ..Config::default() };
    config.listen = listen.unwrap_or_else(|| ([127, 0, 0, 1], 0).into());
    config.drain.seconds = 0.2;
    config.drain.spread_seconds = 0.1;
    Server::start(config).await.expect("a server")
}

fn token(folder: &Path) -> String {
    let keys = Keys::load_or_create(folder).expect("a key");
    keys.sign(&UserId::new("ann").expect("an id"), Duration::from_secs(60))
}

fn connect(server: &Server, folder: &TempDir) -> Connect {
    Connect::to(format!("ws://{}/ws", server.address())).token(token(folder.path()))
}

fn chat(content: &str) -> ClientFrame {
    ClientFrame::Chat { content: content.into(), thread_id: None, agent: None }
}

fn is_end(event: &Event) -> bool {
    matches!(event.body, EventBody::AgentCompleted { .. })
}

#[tokio::test]
async fn each_way_in_is_let_in() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder, None).await;
    let token = token(folder.path());
    for credentials in [
        Credentials::Header(token.clone()),
        Credentials::Subprotocol(token.clone()),
        Credentials::FirstFrame(token.clone()),
    ] {
        let connect = connect(&server, &folder).credentials(credentials);
        let (connection, welcome) = connect.open_welcomed().await.unwrap();
        assert_eq!(welcome.user_id.as_str(), "ann");
        let ended = connection.close(1000, "done").await.unwrap();
        assert_eq!(ended.code, Some(1000), "{ended}");
    }
}

#[tokio::test]
async fn a_bad_token_is_told_with_its_error_and_code() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder, None).await;
    let connect = connect(&server, &folder).token("nonsense");
    let Err(error) = Client::connect(connect, BACKOFF).await else { panic!("nonsense was let in") };
    assert!(error.is_refusal(), "{error}");
    let OpenError::Ended { ended, .. } = error else { panic!("{error}") };
    assert_eq!(ended.code, Some(1008));
    assert_eq!(ended.error.unwrap().error_code, ErrorCode::Unauthenticated);
}

#[tokio::test]
async fn a_cut_after_every_single_event_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder, None).await;
    let mut client = Client::connect(connect(&server, &folder), BACKOFF).await.unwrap();
    client.request(&chat("What is 17*23, and count from 1 to 5?")).await.unwrap();
    let (mut state, mut cuts) = (UserState::default(), 0);
    loop {
        match client.next(WITHIN).await.unwrap() {
            Update::Event(event) => {
                state.apply(&event).unwrap();
                if is_end(&event) {
                    break;
                }
                client.cut();
                cuts += 1;
            }
            Update::Reconnected { start, .. } => assert_eq!(start, Start::Resumed),
            _ => {}
        }
    }
    assert!(cuts > 8, "{cuts}");
    assert_eq!(state, whole_log(&connect(&server, &folder), client.welcome().epoch).await);
}

async fn whole_log(connect: &Connect, epoch: Epoch) -> UserState {
    let connect = connect.clone().resume(Position { epoch, seq: 0 });
    let mut client = Client::connect(connect, Backoff::never()).await.expect("a connection");
    let mut state = UserState::default();
    loop {
        match client.next(WITHIN).await.expect("the log") {
            Update::Event(event) => state.apply(&event).expect("the next event"),
            Update::Control(control) if matches!(control.body, ControlBody::CaughtUp { .. }) => return state,
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_request_made_while_the_server_is_away_is_carried_out_once() {
    let folder = tempfile::tempdir().unwrap();
    let first = server(&folder, None).await;
    let address = first.address();
    let mut client = Client::connect(connect(&first, &folder), BACKOFF).await.unwrap();
    // Beside the client: a server waits a while for those that do not take their goodbye.
    let going = tokio::spawn(first.shutdown());
    let mut told = false;
    let wait = loop {
        match client.next(WITHIN).await.unwrap() {
            Update::Control(control) => told |= matches!(control.body, ControlBody::GoAway { .. }),
            Update::Lost { ended, wait } => {
                assert_eq!(ended.code, Some(1012), "{ended}");
                break wait;
            }
            other => panic!("{other:?}"),
        }
    };
    assert!(told && wait <= Duration::from_millis(200), "the server's own wait counts: {wait:?}");
    going.await.unwrap();
    let id = client.request(&chat("What is 2+2?")).await.unwrap();
    assert!(!client.is_connected());
    let second = server(&folder, Some(address)).await;
    let (mut messages, mut accepted, mut ends) = (0, 0, 0);
    // The reply may come behind the run.
    while accepted == 0 || ends == 0 {
        match client.next(WITHIN).await.unwrap() {
            Update::Event(event) if is_end(&event) => ends += 1,
            Update::Event(event) => {
                messages += usize::from(matches!(event.body, EventBody::MessageCreated { .. }));
            }
            Update::Control(control) => accepted += usize::from(control.id.as_ref() == Some(&id)),
            _ => {}
        }
    }
    assert_eq!((messages, accepted, ends), (1, 1, 1));
    drop(second);
}

#[tokio::test]
async fn a_client_gives_up_after_its_attempts_and_stays_over() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder, None).await;
    let backoff = Backoff { attempts: 3, ..BACKOFF };
    let mut client = Client::connect(connect(&server, &folder), backoff).await.unwrap();
    let going = tokio::spawn(server.shutdown());
    let mut lost = 0;
    let error = loop {
        match client.next(WITHIN).await {
            Ok(Update::Lost { .. }) => lost += 1,
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    going.await.unwrap();
    assert_eq!(lost, 3);
    assert!(matches!(error, ClientError::Over { why: GiveUp::Attempts(3), .. }), "{error}");
    assert!(matches!(client.next(WITHIN).await, Err(ClientError::Over { .. })));
}

#[tokio::test]
async fn another_number_line_gives_a_snapshot_and_then_the_tail() {
    let folder = tempfile::tempdir().unwrap();
    let server = server(&folder, None).await;
    let elsewhere = Position { epoch: Epoch::new(1), seq: 7 };
    let mut client = Client::connect(connect(&server, &folder).resume(elsewhere), BACKOFF).await.unwrap();
    assert!(!client.welcome().resumed);
    let snapshot = client.next(WITHIN).await.unwrap();
    assert!(matches!(snapshot, Update::Snapshot(_)), "{snapshot:?}");
    assert_eq!(client.position(), Some(Position { epoch: client.welcome().epoch, seq: 0 }));
    client.request(&chat("What is 2+2?")).await.unwrap();
    loop {
        if let Update::Event(event) = client.next(WITHIN).await.unwrap()
            && is_end(&event)
        {
            break;
        }
    }
}
