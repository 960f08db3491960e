//! What one check works with: users, connections and HTTP of its own, and a history of all that it did.

use std::{
    borrow::Cow,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::SmallRng};
use serde_json::{Value, json};
use tokio::sync::OnceCell;
use wireproof_client::{Connect, OpenError};

use crate::{
    outcome::{Failure, broken},
    profile::{Kind, Place, Profile, Template, Transport},
    record::{Action, HistoryRecorder, Op, OpOutcome},
    session::{FrameBudget, FrameRecording, Session},
    target::{HttpAnswer, Target, is_unreachable, with_query},
};

mod access_probe;

/// How often a server that says "later" is asked again: that it says so to everybody is no refusal.
const TRIES: usize = 4;
/// The longest wait that a server may ask for.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(5);

/// One check at work.
pub struct CheckContext<'a> {
    /// The server.
    pub target: &'a Target,
    /// Its profile.
    pub profile: Arc<Profile>,
    /// Records every operation.
    pub recorder: HistoryRecorder,
    /// The number of users in checks with many users.
    pub users: usize,
    /// The seed of all random choices.
    pub seed: u64,
    id: Cow<'static, str>,
    rng: Mutex<SmallRng>,
    connections: AtomicUsize,
    good_credentials: OnceCell<()>,
    pub(crate) frame_budget: Arc<FrameBudget>,
}

/// A user of a check.
#[derive(Debug, Clone)]
pub struct TestPrincipal {
    /// The user, as tokens name it.
    pub user: String,
    /// A good token; none where nobody needs one.
    pub token: Option<String>,
}

/// How a user connects.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// Who.
    pub principal: &'a TestPrincipal,
    /// At which address.
    pub url: &'a str,
    /// Where the token is shown.
    pub place: Option<Place>,
    /// The epoch and the number after which the log is wanted, where the profile can resume.
    pub position: Option<(&'a str, u64)>,
}

/// What a tool is asked to work out.
#[derive(Debug, Clone)]
pub struct Sum {
    /// The question.
    pub prompt: String,
    /// What the answer must contain, if the profile says so.
    pub answer: Option<String>,
}

impl<'a> CheckContext<'a> {
    /// What the check of this id works with.
    pub fn new(
        target: &'a Target,
        recorder: HistoryRecorder,
        id: impl Into<Cow<'static, str>>,
        seed: u64,
        users: usize,
    ) -> Self {
        let id = id.into();
        // Every check has its own chance: which others run changes nothing.
        let own = id.bytes().fold(seed, |sum, byte| sum.wrapping_mul(0x100_0000_01b3) ^ u64::from(byte));
        Self {
            target,
            profile: Arc::new(target.profile().clone()),
            recorder,
            users,
            seed,
            id,
            rng: Mutex::new(SmallRng::seed_from_u64(own)),
            connections: AtomicUsize::new(0),
            good_credentials: OnceCell::new(),
            frame_budget: Arc::new(FrameBudget::of(users)),
        }
    }

    /// A number below `end`, by the seed.
    pub fn chance(&self, end: u64) -> u64 {
        let mut rng = self.rng.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        rng.random_range(0..end.max(1))
    }

    /// A user of this name that no other check has; with given tokens, the first for `"ada"`, the second for all others.
    pub fn principal(&self, name: &str) -> Result<TestPrincipal, Failure> {
        if let Some(issued) = self.issued(name) {
            return Ok(issued);
        }
        let given = self.target.given();
        if given.is_empty() {
            return Ok(TestPrincipal { user: name.to_owned(), token: None });
        }
        let index = usize::from(name != "ada");
        match given.get(index) {
            Some((user, token)) => Ok(TestPrincipal { user: user.clone(), token: Some(token.clone()) }),
            None => Err(Failure::NotDone("it takes the tokens of two users (--token-file)".to_owned())),
        }
    }

    fn issued(&self, name: &str) -> Option<TestPrincipal> {
        let user = format!("{}-{name}-{}", self.id.replace(['.', '_'], "-"), self.target.nonce());
        let token = self.target.sign(&user)?;
        Some(TestPrincipal { user, token: Some(token) })
    }

    /// How a user connects by the profile.
    pub fn attempt<'e>(&'e self, principal: &'e TestPrincipal) -> Attempt<'e> {
        Attempt { principal, url: self.target.url(), place: self.profile.auth.place, position: None }
    }

    /// Connects and waits for the welcome, if the profile has one. A server that says "later" is asked again.
    pub async fn connect(&self, principal: &TestPrincipal) -> Result<Session, Failure> {
        self.connect_as(&self.attempt(principal)).await
    }

    /// Connects at a position, and waits for the welcome.
    pub async fn resume(
        &self,
        principal: &TestPrincipal,
        epoch: &str,
        after: u64,
    ) -> Result<Session, Failure> {
        if self.profile.resume.is_none() {
            return Err(Failure::NotDone("the profile does not say how a client resumes".to_owned()));
        }
        self.connect_as(&Attempt { position: Some((epoch, after)), ..self.attempt(principal) }).await
    }

    /// Connects like this and waits for the welcome, if the profile has one. A server that says "later" is asked again.
    pub async fn connect_as(&self, attempt: &Attempt<'_>) -> Result<Session, Failure> {
        let user = &attempt.principal.user;
        if self.profile.endpoint.transport == Transport::Sse {
            return Ok(self.posting(attempt));
        }
        let mut tries = 0;
        let session = loop {
            tries += 1;
            match self.try_once(attempt, self.new_name(user)).await {
                Ok(session) => break session,
                Err(OpenError::Refused { status: 429 | 503, retry_after, .. }) if tries < TRIES => {
                    // What the server asks for, and it is bounded.
                    tokio::time::sleep(retry_after.unwrap_or(Duration::from_secs(1)).min(MAX_RETRY_AFTER))
                        .await;
                }
                Err(error) if is_unreachable(&error) => return Err(Failure::Gone(error.to_string())),
                Err(error) => return broken(format!("{user} with good credentials: {error}")),
            }
        };
        self.show(&session, attempt).await?;
        if !self.profile.events.welcome.is_empty() {
            let patience = session.patience();
            session.wait("welcome", 0, patience, |seen| seen.kind == Kind::Welcome).await?;
        }
        Ok(session)
    }

    /// Opens the connection under a name in the history, tries once and waits for nothing. A token whose place is the
    /// first frame is shown by [`CheckContext::show`].
    pub(crate) async fn try_once(&self, attempt: &Attempt<'_>, name: String) -> Result<Session, OpenError> {
        let Attempt { principal, place, position, .. } = *attempt;
        let connect = self.target.connect(&self.address_of(attempt), principal.token.as_deref(), place);
        self.open_as(connect, &principal.user, name, position.filter(|_| self.profile.resume.is_some())).await
    }

    /// Shows the token in the first frame, where that is its place.
    pub(crate) async fn show(&self, session: &Session, attempt: &Attempt<'_>) -> Result<(), Failure> {
        match self.profile.first_frame(attempt.place, attempt.principal.token.as_deref()) {
            Some(frame) => session.send(frame).await,
            None => Ok(()),
        }
    }

    /// The address with the position that is asked for.
    fn address_of(&self, attempt: &Attempt<'_>) -> String {
        let (Some(resume), Some((epoch, after))) = (&self.profile.resume, attempt.position) else {
            return attempt.url.to_owned();
        };
        let values = [("epoch", json!(epoch)), ("after", json!(after))];
        with_query(attempt.url, &Template::new(resume.query.clone()).fill_plain(&values))
    }

    /// Holds, once in a check, that somebody with good credentials is let in and answered: what is refused besides is
    /// refused for what it is.
    pub(crate) async fn assert_good_credentials_work(&self) -> Result<(), Failure> {
        let good = async {
            // Another than the user of the check, whom it may have shut out.
            let principal = self.principal("good").or_else(|_| self.principal("ada"))?;
            self.connect(&principal).await?.barrier().await
        };
        let served = self.good_credentials.get_or_try_init(|| good).await;
        served.copied().map_err(|fault| match fault {
            Failure::Broken(why) => {
                Failure::NotDone(format!("who has good credentials is not served either: {why}"))
            }
            other => other,
        })
    }

    /// A session whose messages are posted: the first of them opens a connection.
    pub(crate) fn posting(&self, attempt: &Attempt<'_>) -> Session {
        let Attempt { principal, place, .. } = *attempt;
        let post = self.target.post(&self.address_of(attempt), principal.token.as_deref(), place);
        Session::posting(post, self.recording(&principal.user, self.new_name(&principal.user)))
    }

    fn recording(&self, user: &str, name: String) -> FrameRecording {
        FrameRecording::new(
            self.profile.clone(),
            self.recorder.clone(),
            self.frame_budget.clone(),
            user,
            name,
        )
    }

    pub(crate) fn new_name(&self, user: &str) -> String {
        format!("{user}#{}", self.connections.fetch_add(1, Ordering::Relaxed))
    }

    /// Opens a connection with whatever it shows, and waits for nothing.
    pub async fn open(&self, connect: Connect, user: &str) -> Result<Session, OpenError> {
        self.open_as(connect, user, self.new_name(user), None).await
    }

    /// The same under a name in the history, and with the position that the connection is opened at.
    pub async fn open_as(
        &self,
        connect: Connect,
        user: &str,
        name: String,
        asked: Option<(&str, u64)>,
    ) -> Result<Session, OpenError> {
        let op = |outcome, text: String| Op {
            conn: name.clone(),
            user: user.to_owned(),
            f: if asked.is_some() { Action::Resume } else { Action::Connect },
            outcome,
            epoch: asked.map(|(epoch, _)| epoch.to_owned()),
            seq: asked.map(|(_, after)| after),
            text,
            ..Op::default()
        };
        self.recorder.note(op(OpOutcome::Invoke, String::new()));
        match connect.open().await {
            Ok(connection) => {
                self.recorder.note(op(OpOutcome::Ok, String::new()));
                Ok(Session::new(connection, self.recording(user, name)))
            }
            Err(error) => {
                self.recorder.note(op(OpOutcome::Fail, error.to_string()));
                Err(error)
            }
        }
    }

    /// Holds that a connection is refused before anything is told: by a status of the handshake, or by nothing but an
    /// error and a close. Gives how, in words.
    pub async fn refused(&self, connect: Connect, whom: &str) -> Result<String, Failure> {
        let session = match self.open(connect, whom).await {
            Ok(session) => session,
            Err(OpenError::Refused { status, .. }) if (400..500).contains(&status) => {
                return Ok(format!("HTTP {status}"));
            }
            Err(OpenError::Ended { .. }) => return Ok("the connection was ended".to_owned()),
            Err(error) => return Err(Failure::Gone(error.to_string())),
        };
        let within = session.patience();
        let told = session.wait("refusal", 0, within, |seen| seen.kind != Kind::Error).await;
        if let Ok(told) = told {
            return broken(format!("{whom} got in: {}", told.brief()));
        }
        match session.end() {
            Some(ended) => Ok(ended.code.map_or("closed".to_owned(), |code| format!("close {code}"))),
            None => broken(format!("{whom} was neither refused nor welcomed within {within:?}")),
        }
    }

    /// Asks over HTTP; what happened is in the history.
    pub async fn http(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Result<HttpAnswer, Failure> {
        let body = body.map(|body| body.to_string());
        let asked = format!("{method} {path} {}", body.as_deref().unwrap_or_default());
        self.recorder.note(Op { f: Action::Http, outcome: OpOutcome::Invoke, text: asked, ..Op::default() });
        let answer = self.target.http(method, path, token, body).await;
        let answer = answer.map_err(|error| match error {
            error if error.is_connect() => Failure::Gone(format!("{method} {path}: {error}")),
            error if error.is_timeout() => Failure::Broken(format!(
                "{method} {path} was not answered within {:?}",
                self.target.deadline()
            )),
            error => Failure::Broken(format!("{method} {path} was not answered: {error}")),
        })?;
        let text = format!("{} {}", answer.status, answer.body);
        self.recorder.note(Op { f: Action::Http, text, ..Op::default() });
        Ok(answer)
    }

    /// The profile's plain prompt with a marker in it.
    pub fn plain(&self, marker: &str) -> Result<String, Failure> {
        let plain = self.profile.prompts.plain.as_ref();
        let plain = plain.ok_or_else(|| Failure::NotDone("the profile has no prompts.plain".to_owned()))?;
        Ok(Template::new(plain.clone()).fill_plain(&[("marker", json!(marker))]))
    }

    /// A question that takes a tool, with numbers that chance picks.
    pub fn sum(&self) -> Result<Sum, Failure> {
        let (a, b) = (11 + self.chance(88), 11 + self.chance(88));
        let values = [("a", json!(a)), ("b", json!(b)), ("product", json!(a * b)), ("sum", json!(a + b))];
        let prompts = &self.profile.prompts;
        let tool = prompts.tool.as_ref();
        let tool = tool.ok_or_else(|| Failure::NotDone("the profile has no prompts.tool".to_owned()))?;
        Ok(Sum {
            prompt: Template::new(tool.clone()).fill_plain(&values),
            answer: prompts
                .tool_answer
                .as_ref()
                .map(|answer| Template::new(answer.clone()).fill_plain(&values)),
        })
    }

    /// So many such questions, each with another answer.
    pub fn sums(&self, count: usize) -> Result<Vec<Sum>, Failure> {
        let mut sums: Vec<Sum> = Vec::new();
        // Chance may pick one twice, and does so rarely; a prompt without numbers in it is the same every time.
        for _ in 0..count * TRIES {
            let sum = self.sum()?;
            if !sums
                .iter()
                .any(|known| known.prompt == sum.prompt || sum.answer.is_some() && known.answer == sum.answer)
            {
                sums.push(sum);
            }
            if sums.len() == count {
                return Ok(sums);
            }
        }
        let why = "prompts.tool and prompts.tool_answer are the same every time: they need {a} and {b}, {product} or {sum}";
        Err(Failure::NotDone(why.to_owned()))
    }

    /// A prompt that the profile has under a name.
    pub fn prompt<'p>(&self, prompt: &'p Option<String>, name: &str) -> Result<&'p str, Failure> {
        prompt.as_deref().ok_or_else(|| Failure::NotDone(format!("the profile has no prompts.{name}")))
    }
}
