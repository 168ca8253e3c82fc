//! The rate limit, reached in each of the ways there are: v1 tags, v3 tags, Traefik's plugin syntax, `[[policies]]`.
//!
//! The periods are an hour long, so that no token comes back while a test runs.

use sluice_tests::catalog::Service;
use sluice_tests::client::Answer;
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::upstream::Upstream;

const BURST: usize = 3;

async fn spend(gateway: &Gateway, host: &str) -> Answer {
    for number in 0..BURST {
        assert_eq!(gateway.get(host, "/").await.status(), 200, "request {number}");
    }
    gateway.get(host, "/").await
}

fn assert_refused(answer: &Answer, body: &str) {
    assert_eq!(answer.status(), 429);
    let seconds = answer.head.get("retry-after").expect("Retry-After").parse::<u64>().expect("seconds");
    assert!((1..=3600).contains(&seconds), "{seconds}");
    assert!(answer.head.get("x-retry-in").is_some());
    assert!(answer.text().starts_with(body), "{}", answer.text());
}

#[tokio::test]
async fn v1_tags_limit_a_frontend() {
    let upstream = Upstream::echo().await;
    let service = Service::on_host("shop", "shop.test")
        .tag("traefik.frontend.rateLimit.extractorFunc=client.ip")
        .tag("traefik.frontend.rateLimit.rateSet.hourly.period=1h")
        .tag("traefik.frontend.rateLimit.rateSet.hourly.average=1")
        .tag("traefik.frontend.rateLimit.rateSet.hourly.burst=3")
        .at(&upstream);
    let other = Service::on_host("other", "other.test").at(&upstream);
    let gateway = Setup::with_services(&[service, other]).start().await;

    assert_refused(&spend(&gateway, "shop.test").await, "max rate reached: retry-in ");
    assert_eq!(upstream.received().len(), BURST);
    assert_eq!(gateway.get("other.test", "/").await.status(), 200);
}

#[tokio::test]
async fn v3_tags_limit_a_router() {
    let upstream = Upstream::echo().await;
    let service = Service::new("shop", &["traefik.http.routers.shop.rule=Host(`shop.test`)"])
        .tag("traefik.http.routers.shop.middlewares=slow")
        .tag("traefik.http.middlewares.slow.ratelimit.average=1")
        .tag("traefik.http.middlewares.slow.ratelimit.period=1h")
        .tag("traefik.http.middlewares.slow.ratelimit.burst=3")
        .at(&upstream);
    let gateway = Setup::with_services(&[service]).start().await;

    assert_refused(&spend(&gateway, "shop.test").await, "Too Many Requests");
    assert_eq!(upstream.received().len(), BURST);
}

#[tokio::test]
async fn each_header_value_has_a_bucket_of_its_own() {
    let upstream = Upstream::echo().await;
    let service = Service::new("shop", &["traefik.http.routers.shop.rule=Host(`shop.test`)"])
        .tag("traefik.http.routers.shop.middlewares=slow")
        .tag("traefik.http.middlewares.slow.ratelimit.average=1")
        .tag("traefik.http.middlewares.slow.ratelimit.period=1h")
        .tag("traefik.http.middlewares.slow.ratelimit.burst=1")
        .tag("traefik.http.middlewares.slow.ratelimit.sourcecriterion.requestheadername=X-Tenant")
        .at(&upstream);
    let gateway = Setup::with_services(&[service]).start().await;

    let ask = async |tenant: &str| {
        let request = sluice_tests::client::Request::get("shop.test", "/").header("X-Tenant", tenant);
        gateway.send(request).await.status()
    };
    assert_eq!((ask("a").await, ask("b").await), (200, 200));
    assert_eq!((ask("a").await, ask("b").await, ask("c").await), (429, 429, 200));
}

#[tokio::test]
async fn traefiks_plugin_syntax_reaches_the_same_plugin() {
    let upstream = Upstream::echo().await;
    let service = Service::new("shop", &["traefik.http.routers.shop.rule=Host(`shop.test`)"])
        .tag("traefik.http.routers.shop.middlewares=slow")
        .tag("traefik.http.middlewares.slow.plugin.rate-limit.average=1")
        .tag("traefik.http.middlewares.slow.plugin.rate-limit.period=1h")
        .tag("traefik.http.middlewares.slow.plugin.rate-limit.burst=3")
        .at(&upstream);
    let gateway = Setup::with_services(&[service]).start().await;
    assert_refused(&spend(&gateway, "shop.test").await, "Too Many Requests");
}

#[tokio::test]
async fn a_policy_of_the_configuration_limits_an_entrypoint() {
    let upstream = Upstream::echo().await;
    let services = [Service::on_host("shop", "shop.test").at(&upstream), Service::on_host("b", "b.test").at(&upstream)];
    let gateway = Setup::with_services(&services)
        .config(
            "[[policies]]\nname = \"edge-limit\"\nplugin = \"rate-limit\"\nattach = [\"entrypoint:web\"]\n\
             config = { average = 1, period = \"1h\", burst = 3 }",
        )
        .start()
        .await;
    assert_refused(&spend(&gateway, "shop.test").await, "Too Many Requests");
    assert_eq!(gateway.get("b.test", "/").await.status(), 429, "one bucket for the whole entrypoint");
}

#[tokio::test]
async fn a_v1_service_names_a_policy_of_the_configuration_or_of_its_tags() {
    let upstream = Upstream::echo().await;
    let configured = Service::on_host("one", "one.test").tag("traefik.frontend.policies=edge-limit").at(&upstream);
    let tagged = Service::on_host("two", "two.test")
        .tag("traefik.frontend.policies=own")
        .tag("traefik.policies.own.plugin=rate-limit")
        .tag("traefik.policies.own.config.average=1")
        .tag("traefik.policies.own.config.period=1h")
        .tag("traefik.policies.own.config.burst=3")
        .at(&upstream);
    let free = Service::on_host("free", "free.test").at(&upstream);
    let gateway = Setup::with_services(&[configured, tagged, free])
        .config(
            "[[policies]]\nname = \"edge-limit\"\nplugin = \"rate-limit\"\n\
             config = { average = 1, period = \"1h\", burst = 3 }",
        )
        .start()
        .await;
    for host in ["one.test", "two.test"] {
        assert_refused(&spend(&gateway, host).await, "Too Many Requests");
    }
    for _ in 0..=BURST {
        assert_eq!(gateway.get("free.test", "/").await.status(), 200);
    }
}

#[tokio::test]
async fn a_change_of_another_service_gives_no_tokens_back() {
    let upstream = Upstream::echo().await;
    let limited = Service::on_host("shop", "shop.test")
        .tag("traefik.frontend.rateLimit.extractorFunc=client.ip")
        .tag("traefik.frontend.rateLimit.rateSet.hourly.period=1h")
        .tag("traefik.frontend.rateLimit.rateSet.hourly.average=1")
        .tag("traefik.frontend.rateLimit.rateSet.hourly.burst=3")
        .at(&upstream);
    let gateway = Setup::with_services(std::slice::from_ref(&limited)).start().await;
    assert_eq!(spend(&gateway, "shop.test").await.status(), 429);

    gateway.catalog().replace(&[limited, Service::on_host("new", "new.test").at(&upstream)]);
    gateway.until_status("new.test", 200).await;
    assert_eq!(gateway.get("shop.test", "/").await.status(), 429);
}
