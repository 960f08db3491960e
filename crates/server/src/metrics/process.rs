//! What the operating system says of this process, read at each look; absent where there is no `/proc`.

use std::fs;

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

/// Clock ticks a second in what Linux tells of processes.
const TICKS: f64 = 100.0;

/// Reads `/proc/self`; the names are those that every Prometheus client uses.
#[derive(Debug)]
pub struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let mut put = |name, help, unit: Option<&Unit>, metric: &dyn EncodeMetric| {
            metric.encode(encoder.encode_descriptor(name, help, unit, metric.metric_type())?)
        };
        if let Some(bytes) = resident_bytes() {
            let help = "Memory of the process that is in RAM, in bytes.";
            put("process_resident_memory", help, Some(&Unit::Bytes), &ConstGauge::new(bytes))?;
        }
        if let Some(open) = open_files() {
            put(
                "process_open_fds",
                "Files and sockets that the process has open.",
                None,
                &ConstGauge::new(open),
            )?;
        }
        if let Some(most) = most_files() {
            let help = "Files and sockets that the process may have open.";
            put("process_max_fds", help, None, &ConstGauge::new(most))?;
        }
        if let Some(seconds) = cpu_seconds() {
            let help = "CPU time that the process took, in seconds.";
            put("process_cpu", help, Some(&Unit::Seconds), &ConstCounter::new(seconds))?;
        }
        if let Some(started) = started() {
            let help = "When the process started, in Unix seconds.";
            put("process_start_time", help, Some(&Unit::Seconds), &ConstGauge::new(started))?;
        }
        Ok(())
    }
}

fn resident_bytes() -> Option<i64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<i64>().ok().map(|kib| kib * 1024)
}

fn open_files() -> Option<i64> {
    // The folder being read is open itself.
    fs::read_dir("/proc/self/fd").ok().map(|files| (files.count() as i64 - 1).max(0))
}

fn most_files() -> Option<i64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// The fields of `/proc/self/stat` behind the name, which may hold anything: the first of them is field 3.
fn stat() -> Option<Vec<f64>> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    let (_, fields) = stat.rsplit_once(')')?;
    Some(fields.split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect())
}

fn cpu_seconds() -> Option<f64> {
    let stat = stat()?;
    Some((stat.get(11)? + stat.get(12)?) / TICKS)
}

fn started() -> Option<f64> {
    let after_boot = stat()?.get(19)? / TICKS;
    // `/proc/stat` has the time of the boot too, and is not there for a service with `ProcSubset=pid`.
    let up = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    let up = up.tv_sec as f64 + up.tv_nsec as f64 / 1e9;
    Some(crate::clock::unix_now() - up + after_boot)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bug: under the systemd unit the start of the process was missing, for `/proc` shows it processes alone.
    #[test]
    fn the_start_is_told_by_the_process_and_the_clock() {
        let own = include_str!("process.rs").split("#[cfg(test)]").next().unwrap_or_default();
        for path in own.split('"').filter(|text| text.starts_with("/proc/")) {
            assert!(path.starts_with("/proc/self/"), "{path} is not there under ProcSubset=pid");
        }
        let age = crate::clock::unix_now() - started().unwrap();
        assert!((-1.0..3600.0).contains(&age), "this process is {age} s old");
    }
}
