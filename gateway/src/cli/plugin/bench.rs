//! `sluice plugin bench`: what each hook of a component costs, as the gateway itself measures it.

use std::collections::BTreeMap;
use std::io::{BufReader, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::json;

use super::cases::{Cases, Request};
use super::stage::Stage;
use super::upstream::read_message;
use super::{PluginError, at, cases_of};
use crate::cli::table::Table;
use crate::cli::{Output, OutputArgs, say};

/// What to measure, and how.
#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The component, the folder of its crate, or the name of a default plugin
    file: PathBuf,
    /// Settings and requests, as for `test`; those of the crate, or no settings and a plain GET, where none are named
    cases: Option<PathBuf>,
    /// How many requests
    #[arg(long, value_name = "NUMBER", default_value_t = 20_000)]
    requests: u32,
    #[command(flatten)]
    output: OutputArgs,
}

/// Rounds of requests, of which the quickest counts: what else the machine does only ever adds to it.
const ROUNDS: u32 = 10;

/// Of each hook, how often it was called and how long that took: all its calls in seconds, or the best of them in ns.
type Costs = BTreeMap<String, (f64, f64)>;

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, PluginError> {
    let of_crate = || Some(cases_of(&arguments.file)).filter(|file| arguments.file.is_dir() && file.is_file());
    let cases = arguments.cases.clone().or_else(of_crate);
    let cases = cases.as_deref().map(Cases::read).transpose()?.unwrap_or_default();
    let stage = Stage::start(&arguments.file, &cases)?;
    let plain = Request::default();
    let requests: Vec<&Request> = cases.cases.iter().map(|case| &case.request).collect();
    let requests = if requests.is_empty() { vec![&plain] } else { requests };
    let failed = |error| at(&arguments.file)(error);
    // The first ones are compiled for, mapped and cached.
    send(&stage, &requests, arguments.requests / 10 + 1).map_err(failed)?;
    let mut spent = BTreeMap::new();
    let mut before = costs(&stage.metrics(), &stage.name);
    for _ in 0..ROUNDS {
        send(&stage, &requests, arguments.requests.div_ceil(ROUNDS)).map_err(|error| at(&arguments.file)(error))?;
        let after = costs(&stage.metrics(), &stage.name);
        best(&mut spent, &before, &after);
        before = after;
    }
    if spent.is_empty() {
        return Err(PluginError::Refused(format!("{} was never called: it subscribes to no hook", stage.name)));
    }
    match arguments.output.output {
        Output::Json => {
            let hooks =
                spent.iter().map(|(hook, (calls, ns))| json!({ "hook": hook, "calls": calls, "nsPerCall": ns }));
            say(json!({ "plugin": stage.name, "hooks": hooks.collect::<Vec<_>>() }));
        }
        Output::Text => {
            let mut table = Table::new(&["HOOK", "CALLS", "NS PER CALL"]);
            for (hook, (calls, ns)) in spent {
                table.row([hook, format!("{calls:.0}"), format!("{ns:.0}")]);
            }
            say(table.to_string().trim_end());
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Notes what each hook cost in a round, if that is less than in those before.
fn best(spent: &mut Costs, before: &Costs, after: &Costs) {
    for (hook, (calls, seconds)) in after {
        let (calls_before, seconds_before) = before.get(hook).copied().unwrap_or_default();
        let calls = calls - calls_before;
        if calls > 0.0 {
            let ns = (seconds - seconds_before) * 1e9 / calls;
            let known = spent.entry(hook.clone()).or_insert((0.0, f64::INFINITY));
            *known = (known.0 + calls, known.1.min(ns));
        }
    }
}

/// One request after the other on one connection, opened again where the gateway ends it.
fn send(stage: &Stage, requests: &[&Request], count: u32) -> std::io::Result<()> {
    let mut connection: Option<(BufReader<TcpStream>, TcpStream)> = None;
    for request in requests.iter().cycle().take(count as usize) {
        let (mut reader, mut writer) = match connection.take() {
            Some(open) => open,
            None => {
                let stream = TcpStream::connect(stage.web)?;
                stream.set_nodelay(true)?;
                (BufReader::new(stream.try_clone()?), stream)
            }
        };
        let mut text = format!("{} {} HTTP/1.1\r\nhost: {}\r\n", request.method, request.path, request.host);
        for (name, value) in &request.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("content-length: {}\r\n\r\n{}", request.body.len(), request.body));
        writer.write_all(text.as_bytes())?;
        let answer = read_message(&mut reader, false)?;
        if answer.is_some_and(|answer| answer.headers.get("connection").is_none_or(|value| value != "close")) {
            connection = Some((reader, writer));
        }
    }
    Ok(())
}

/// Reads the sums of the plugin's histograms.
fn costs(metrics: &str, name: &str) -> Costs {
    let mut costs = Costs::new();
    for line in metrics.lines() {
        let Some((series, value)) = line.rsplit_once(' ') else { continue };
        let of_plugin =
            series.contains("plugin_call_duration_seconds") && series.contains(&format!("plugin=\"{name}\""));
        let hook = series.split_once("hook=\"").and_then(|(_, rest)| rest.split('"').next());
        let (Some(hook), Ok(value)) = (hook.filter(|_| of_plugin), value.parse::<f64>()) else { continue };
        let cost = costs.entry(hook.to_owned()).or_default();
        if series.contains("_seconds_count") {
            cost.0 = value;
        } else if series.contains("_seconds_sum") {
            cost.1 = value;
        }
    }
    costs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quickest_round_counts() {
        let hook = |calls, seconds| Costs::from([("on-request".to_owned(), (calls, seconds))]);
        let mut spent = Costs::new();
        best(&mut spent, &hook(100.0, 1.0), &hook(110.0, 1.00002));
        best(&mut spent, &hook(110.0, 1.00002), &hook(120.0, 1.00003));
        best(&mut spent, &hook(120.0, 1.00003), &hook(130.0, 2.0));
        let (calls, ns) = spent.get("on-request").copied().unwrap_or_default();
        assert!(calls == 30.0 && (ns - 1_000.0).abs() < 1e-3, "{spent:?}");
    }

    #[test]
    fn sums_are_read_by_hook_and_plugin() {
        let metrics = "\
            sluice_plugin_call_duration_seconds_bucket{plugin=\"a\",hook=\"on-request\",le=\"1\"} 9\n\
            sluice_plugin_call_duration_seconds_sum{plugin=\"a\",hook=\"on-request\"} 0.5\n\
            sluice_plugin_call_duration_seconds_count{plugin=\"a\",hook=\"on-request\"} 10\n\
            sluice_plugin_call_duration_seconds_count{plugin=\"b\",hook=\"on-request\"} 99\n# EOF\n";
        assert_eq!(costs(metrics, "a"), Costs::from([("on-request".to_owned(), (10.0, 0.5))]));
    }
}
