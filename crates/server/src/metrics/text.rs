//! The two texts that Prometheus reads: OpenMetrics, as the registry writes it, and the classic one made of it.

use std::fmt::Write;

/// A text format of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' own, 0.0.4.
    Classic,
}

impl Format {
    /// The format for an `Accept` header: OpenMetrics for clients that name it, the classic one for all others.
    pub fn accepted(accept: &str) -> Self {
        let names = accept.split(',').map(|part| {
            let mut parameters = part.split(';').map(str::trim);
            let name = parameters.next().unwrap_or_default();
            let refused = parameters.any(|p| {
                p.strip_prefix("q=").is_some_and(|weight| weight.parse::<f64>().is_ok_and(|w| w <= 0.0))
            });
            (name, refused)
        });
        let mut asked = names.filter(|(_, refused)| !refused).map(|(name, _)| name);
        match asked.any(|name| name.eq_ignore_ascii_case("application/openmetrics-text")) {
            true => Self::OpenMetrics,
            false => Self::Classic,
        }
    }

    /// Its `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Classic => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// OpenMetrics names a counter without the `_total` of its samples, and knows units, infos and an end; the classic text
/// names what the samples are called, and knows none of these.
pub fn classic(open_metrics: &str) -> String {
    let mut text = String::with_capacity(open_metrics.len());
    let mut lines = open_metrics.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(help) = line.strip_prefix("# HELP ") else {
            if !line.starts_with("# UNIT ") && line != "# EOF" {
                text.push_str(line);
                text.push('\n');
            }
            continue;
        };
        // The registry writes the type right behind the help.
        let kind = lines.next().and_then(|line| line.rsplit_once(' ')).map_or("untyped", |(_, kind)| kind);
        let (name, sentence) = help.split_once(' ').unwrap_or((help, ""));
        let (suffix, kind) = match kind {
            "counter" => ("_total", "counter"),
            "info" => ("_info", "gauge"),
            "unknown" => ("", "untyped"),
            other => ("", other),
        };
        // Writing to a String does not fail.
        let _ = write!(text, "# HELP {name}{suffix} {sentence}\n# TYPE {name}{suffix} {kind}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_classic_text_names_what_the_samples_are_called() {
        let open = "# HELP a_seconds Time.\n# TYPE a_seconds counter\n# UNIT a_seconds seconds\na_seconds_total 1.5\n\
                    # HELP b Build.\n# TYPE b info\nb_info{v=\"1\"} 1\n# HELP c Now.\n# TYPE c gauge\nc 2\n# EOF\n";
        let expected = "# HELP a_seconds_total Time.\n# TYPE a_seconds_total counter\na_seconds_total 1.5\n\
                        # HELP b_info Build.\n# TYPE b_info gauge\nb_info{v=\"1\"} 1\n\
                        # HELP c Now.\n# TYPE c gauge\nc 2\n";
        assert_eq!(classic(open), expected);
    }

    #[test]
    fn openmetrics_is_for_who_asks_for_it() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.3,*/*;q=0.1";
        assert_eq!(Format::accepted(prometheus), Format::OpenMetrics);
        for classic in
            ["", "*/*", "text/plain", "application/openmetrics-text;q=0,text/plain", "text/html,*/*;q=0.8"]
        {
            assert_eq!(Format::accepted(classic), Format::Classic, "{classic}");
        }
    }
}
