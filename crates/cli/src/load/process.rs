//! What Linux tells of a process: its memory, its processor time, and which one listens on a port.

use std::{fs, time::Duration};

/// Ticks a second in `/proc/PID/stat`; the same on every Linux of today.
const TICKS: u64 = 100;

/// Resident memory in KiB.
pub(super) fn memory_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().trim_end_matches(" kB").parse().ok()
}

/// Processor time so far, of all threads, in user and in system.
pub(super) fn processor_time(pid: u32) -> Option<Duration> {
    let ticks = |index| stat(pid, index)?.parse::<u64>().ok();
    Some(Duration::from_millis((ticks(11)? + ticks(12)?) * 1000 / TICKS))
}

/// True while a signal holds the process.
pub(super) fn is_stopped(pid: u32) -> bool {
    stat(pid, 0).is_some_and(|state| state == "T")
}

/// A field of `/proc/PID/stat`. The name in brackets may hold anything: they count from behind it, the state from 0.
fn stat(pid: u32, index: usize) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    Some(stat.rsplit_once(')')?.1.split_whitespace().nth(index)?.to_owned())
}

/// The process that listens on a TCP port of this machine, if this user may see it.
pub(super) fn listening_on(port: u16) -> Option<u32> {
    let socket = format!("socket:[{}]", listening_inode(port)?);
    let holds = |pid: &u32| {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        open.filter_map(|entry| fs::read_link(entry.path()).ok())
            .any(|link| link.as_os_str() == socket.as_str())
    };
    let processes = fs::read_dir("/proc").ok()?.flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(holds)
}

fn listening_inode(port: u16) -> Option<String> {
    let suffix = format!(":{port:04X}");
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().find_map(|table| {
        let table = fs::read_to_string(table).ok()?;
        table.lines().skip(1).find_map(|line| {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let (local, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
            (local.ends_with(&suffix) && *state == "0A").then(|| (*inode).to_owned())
        })
    })
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, process};

    use super::*;

    #[test]
    fn this_process_is_found_by_its_port_and_has_memory() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        assert_eq!(listening_on(port), Some(process::id()));
        assert!(memory_kib(process::id()).unwrap() > 100);
        assert!(processor_time(process::id()).is_some());
    }
}
