//! Questions about a small configuration, answered from a dry run of it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use super::*;
use crate::config::Sources;
use crate::control::dry_run;

const CONFIG: &str = r#"
[entrypoints.web]
address = "127.0.0.1:8000"
[entrypoints.websecure]
address = "127.0.0.1:8443"
tls = {}
[providers.file]
path = "services.toml"
[[policies]]
name = "edge"
plugin = "rate-limit"
attach = ["entrypoint:web"]
config = { average = 100, burst = 50 }
[[policies]]
name = "own"
plugin = "rate-limit"
attach = ["route:api"]
config = { average = 100, burst = 50 }
"#;

const SERVICES: &str = r#"
[[service]]
name = "shop"
tags = ["traefik.frontend.rule=Host:shop.test;PathPrefixStrip:/cart"]
instances = [{ id = "a", address = "10.0.0.1", port = 80, tags = ["traefik.weight=3"] }]
[[service]]
name = "any"
tags = ["traefik.http.routers.any.rule=PathPrefix(`/`)", "traefik.http.routers.any.priority=1"]
instances = [{ address = "10.0.0.2", port = 80 }]
[[service]]
name = "api"
tags = [
    "traefik.http.routers.api.rule=Host(`api.test`)",
    "traefik.http.routers.api.entrypoints=websecure",
    "traefik.http.routers.api.tls=true",
]
instances = [{ address = "10.0.0.3", port = 80 }]
[[service]]
name = "broken"
tags = ["traefik.http.routers.b.rule=Host(`b.test`)", "traefik.http.routers.b.middlewares=nothing"]
instances = [{ address = "10.0.0.4", port = 80 }]
[[service]]
name = "typo"
tags = ["traefik.http.routers.t.rule=Hots(`t.test`)"]
instances = [{ address = "10.0.0.5", port = 80 }]
"#;

fn tried(services: &str) -> (Arc<Config>, Status, Arc<Generation>) {
    let directory = std::env::temp_dir().join(format!("sluice-explain-{}-{}", std::process::id(), services.len()));
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join("sluice.toml"), CONFIG).unwrap();
    std::fs::write(directory.join("services.toml"), services).unwrap();
    let sources = Sources { file: Some(directory.join("sluice.toml")), ..Sources::default() };
    let config = Arc::new(Config::load(&sources).unwrap());
    let (status, generation) = dry_run(&config).unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    (config, status, generation)
}

/// Name, outcome and reasons of every candidate.
fn outcomes(answer: &Value) -> Vec<String> {
    let candidates = answer["candidates"].as_array().unwrap().iter();
    let line = |one: &Value| format!("{} {} {}", one["name"], one["outcome"], one["reasons"]).replace('"', "");
    candidates.map(line).collect()
}

fn steps(answer: &Value) -> Vec<&str> {
    answer["chain"].as_array().unwrap().iter().map(|step| step["name"].as_str().unwrap()).collect()
}

#[test]
fn every_route_says_why_it_answers_or_not() {
    let (config, status, generation) = tried(SERVICES);
    let ask = |url: &str| {
        let question = Question { method: "GET".into(), url: url.into(), ..Question::default() };
        explain(&config, &generation, &status, &question).unwrap()
    };

    let shop = ask("http://shop.test/cart/7");
    assert_eq!(shop["route"], "shop@file");
    assert_eq!(shop["request"]["entrypoint"], "web");
    assert_eq!(steps(&shop), ["edge@config", "shop-strip@file"]);
    assert_eq!(shop["service"]["loadBalancer"]["servers"][0]["url"], "http://10.0.0.1:80");
    assert_eq!(shop["service"]["loadBalancer"]["servers"][0]["weight"], 3);
    let expected = [
        "shop@file wins []",
        "api@file other-entrypoint [it answers on websecure, not on web]",
        "b@file disabled [step `nothing` does not exist]",
        "any@file outranked [it matches, but its priority 1 is below 36 of shop@file]",
    ];
    assert_eq!(outcomes(&shop), expected);

    let api = ask("https://api.test:8443/");
    assert_eq!((&api["route"], &api["request"]["entrypoint"]), (&json!("api@file"), &json!("websecure")));
    assert_eq!(steps(&api), ["own@config"], "the entrypoint's policies come first, and this one has none");

    let other = ask("http://other.test/");
    assert_eq!(other["route"], "any@file");
    let lost = "shop@file no-match [Host(`shop.test`) fails: the host is `other.test`,\
                PathPrefix(`/cart`) on the decoded path fails: the path is `/`]";
    assert!(outcomes(&other).contains(&lost.to_owned()), "{other}");
}

#[test]
fn where_no_route_answers_the_refused_tags_are_shown() {
    let (config, status, generation) = tried(
        SERVICES
            .split("[[service]]")
            .filter(|part| !part.contains("\"any\""))
            .collect::<Vec<_>>()
            .join("[[service]]")
            .trim_start(),
    );
    let question = Question { method: "GET".into(), url: "http://t.test/".into(), ..Question::default() };
    let answer = explain(&config, &generation, &status, &question).unwrap();
    assert_eq!((&answer["route"], &answer["service"], &answer["chain"]), (&Value::Null, &Value::Null, &Value::Null));
    let refused = answer["refused"].as_array().unwrap();
    assert!(refused.iter().any(|one| one["tag"].as_str().unwrap().contains("Hots")), "{refused:?}");
    for (entrypoint, client, part) in [(Some("nope"), None, "there are web, websecure"), (None, Some("x"), "not an IP")]
    {
        let question = Question {
            entrypoint: entrypoint.map(str::to_owned),
            client: client.map(str::to_owned),
            ..question.clone()
        };
        let error = explain(&config, &generation, &status, &question).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}
