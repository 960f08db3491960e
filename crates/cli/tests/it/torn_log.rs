//! A write-ahead log with a torn tail, as a crash in mid-write leaves it: all that was committed is there.

use std::{fs, path::Path};

use anyhow::{Context, Result, ensure};
use tempfile::{TempDir, tempdir};
use wireproof_protocol::{ClientFrame, Epoch, Event, Incoming};

use crate::{
    history::{all_ended, fold, is_kept, read_log, until_completed},
    process::{Server, WITHIN, token},
};

const LOG_HEADER: usize = 32;
const FRAME: usize = 24 + 4096;

/// A data folder whose server was killed, and what its client had been told by then.
struct Killed {
    folder: TempDir,
    token: String,
    epoch: Epoch,
    told: Vec<Event>,
    write_ahead: Vec<u8>,
}

impl Killed {
    async fn in_mid_run() -> Result<Self> {
        let folder = tempdir()?;
        let server = Server::start(folder.path()).await?;
        let token = token(folder.path(), "ada").await?;
        let (mut connection, welcome) = server.connect(&token).open_welcomed().await?;
        let chat =
            |content: &str| ClientFrame::Chat { content: content.into(), thread_id: None, agent: None };
        connection.send(&chat("What is 17*23?"), None).await?;
        let mut told = until_completed(&mut connection).await?;
        connection.send(&chat("Count from 1 to 100."), None).await?;
        let enough = told.len() + 15;
        while told.len() < enough {
            if let Incoming::Event(event) = connection.recv(WITHIN).await?.incoming {
                told.push(*event);
            }
        }
        server.kill().await?;
        let write_ahead = fs::read(folder.path().join("wireproof.db-wal"))?;
        Ok(Self { folder, token, epoch: welcome.epoch, told, write_ahead })
    }

    /// The length of the log up to the end of its last commit.
    fn committed(&self) -> Result<usize> {
        let salt = &self.write_ahead[16..24];
        let frames = self.write_ahead[LOG_HEADER..].chunks_exact(FRAME);
        let ours = frames.take_while(|frame| &frame[8..16] == salt);
        // A frame that commits says how large the store is then; the others say 0.
        let commit = |(_, frame): &(usize, &[u8])| frame[4..8] != [0; 4];
        let (last, _) = ours.enumerate().filter(commit).last().context("no commit in the log")?;
        Ok(LOG_HEADER + (last + 1) * FRAME)
    }

    /// A server on a copy of the folder, with this as its log, has all that was told.
    async fn restarts_with(&self, write_ahead: &[u8], what: &str) -> Result<()> {
        let copy = tempdir()?;
        for name in ["wireproof.db", "jwt.key"] {
            fs::copy(self.folder.path().join(name), copy.path().join(name))?;
        }
        fs::write(copy.path().join("wireproof.db-wal"), write_ahead)?;
        self.is_whole(copy.path()).await.with_context(|| what.to_owned())
    }

    async fn is_whole(&self, data_dir: &Path) -> Result<()> {
        let server = Server::start(data_dir).await?;
        let log = read_log(&server, &self.token, self.epoch).await?;
        is_kept(&self.told, &log)?;
        let state = fold(&log)?;
        all_ended(&state)?;
        ensure!(state.runs.len() == 2, "two runs were begun: {:?}", state.runs);
        server.kill().await
    }
}

#[tokio::test]
async fn what_stands_behind_the_last_commit_does_no_harm() -> Result<()> {
    let killed = Killed::in_mid_run().await?;
    let end = killed.committed()?;
    let committed = &killed.write_ahead[..end];
    let frame = &committed[LOG_HEADER..][..FRAME];
    let mut no_commit = frame.to_vec();
    no_commit[4..8].fill(0);
    let noise: Vec<u8> = (0..3 * FRAME).map(|_| rand::random()).collect();
    let tails: [(&str, &[u8]); 8] = [
        ("nothing", &[]),
        ("one byte", &[0x37]),
        ("noise", &noise),
        ("the beginning of a frame's head", &frame[..10]),
        ("half a frame", &frame[..FRAME / 2]),
        ("a frame without its last byte", &frame[..FRAME - 1]),
        ("a frame of another place", &no_commit),
        ("blocks that were given and not written", &[0; 2 * FRAME]),
    ];
    for (what, tail) in tails {
        killed.restarts_with(&[committed, tail].concat(), &format!("behind the last commit: {what}")).await?;
    }
    // And all of it as the kill left it.
    killed.restarts_with(&killed.write_ahead, "as it was left").await
}

#[tokio::test]
async fn the_index_of_the_log_is_no_data() -> Result<()> {
    let killed = Killed::in_mid_run().await?;
    let index = killed.folder.path().join("wireproof.db-shm");
    for bytes in [vec![0; 100], (0..32 << 10).map(|_| rand::random()).collect()] {
        fs::write(&index, bytes)?;
        killed.is_whole(killed.folder.path()).await?;
    }
    Ok(())
}
