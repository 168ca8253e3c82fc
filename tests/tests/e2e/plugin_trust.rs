//! Which files may run: signed ones where that is required, of the kind that belongs to the name, and with no more rights
//! than somebody gave them.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicU16;

use serde_json::Value;
use sluice_tests::catalog::Service;
use sluice_tests::gateway::{Gateway, Setup, binary};
use sluice_tests::plugins::{built, guest, variant};
use sluice_tests::signing::Signer;
use sluice_tests::until;
use sluice_tests::upstream::Upstream;

use crate::policies::told;

const SHOP: &str = "[[policies]]\nname = \"shop\"\nplugin = \"scripted\"\nattach = [\"service:shop\"]";

fn service(name: &str, upstream: &Upstream) -> Service {
    Service::new(name, &[&format!("traefik.http.routers.{name}.rule=Host(`{name}.test`)")]).at(upstream)
}

async fn plugin(gateway: &Gateway, name: &str) -> Value {
    gateway.api(&format!("/api/plugins/{name}")).await
}

async fn until_refused(gateway: &Gateway, name: &str, reason: &str) -> Value {
    let said = async || plugin(gateway, name).await["lastError"].as_str().unwrap_or_default().to_owned();
    until(&format!("{name} is refused: {reason}"), async || said().await.contains(reason)).await;
    plugin(gateway, name).await
}

/// What `sluice check` says, and whether it is content.
fn check(gateway: &Gateway) -> (bool, String) {
    let config = gateway.config_file();
    let output = Command::new(binary())
        .args(["check", "--config"])
        .arg(config)
        .current_dir(gateway.folder())
        .output()
        .expect("start sluice check");
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).into_owned())
}

#[tokio::test]
async fn only_files_signed_by_somebody_trusted_run() {
    let upstream = Upstream::echo().await;
    let (ours, theirs) = (Signer::new(), Signer::new());
    let first = guest("scripted");
    let gateway = Setup::with_services(&[service("shop", &upstream)])
        .with_plugin_directory()
        .config(&format!("require-signature = \"enforce\"\ntrusted-keys = [\"{}\"]", ours.public_key()))
        .config("[plugins.settings.scripted]\nsigned-since = 1000")
        .config(SHOP)
        .with_plugin("scripted", &first)
        .with_signature("scripted", &ours.sign("scripted.wasm", &first, 1000))
        .start()
        .await;
    let now = plugin(&gateway, "scripted").await;
    assert_eq!((&now["state"], &now["signature"]["trusted"]), (&"active".into(), &true.into()), "{now}");
    let (content, said) = check(&gateway);
    assert!(content, "{said}");
    let digest = now["digest"].clone();

    let second = variant(&first, 1);
    let plugins = gateway.plugins();
    plugins.put("scripted", &second);
    until_refused(&gateway, "scripted", "the signature does not fit the file").await;
    let (content, said) = check(&gateway);
    assert!(!content && said.contains("the signature does not fit the file"), "{said}");
    plugins.put_signature("scripted", &theirs.sign("scripted.wasm", &second, 2000));
    until_refused(&gateway, "scripted", "is not in `plugins.trusted-keys`").await;
    plugins.put_signature("scripted", &ours.sign("auth.wasm", &second, 2000));
    until_refused(&gateway, "scripted", "it is signed as `auth.wasm`").await;
    plugins.put_signature("scripted", &ours.sign("scripted.wasm", &second, 999));
    until_refused(&gateway, "scripted", "it was signed at 999, before 1000").await;
    plugins.remove_signature("scripted");
    let now = until_refused(&gateway, "scripted", "there is no `scripted.wasm.minisig`").await;
    assert_eq!((&now["digest"], &now["state"]), (&digest, &"active".into()), "{now}");
    assert_eq!(gateway.get("shop.test", "/").await.head.get("x-fields"), Some("- - - 32"));

    plugins.put_signature("scripted", &ours.sign("scripted.wasm", &second, 2000));
    until("a signed version is taken", async || plugin(&gateway, "scripted").await["digest"] != digest).await;
    let now = plugin(&gateway, "scripted").await;
    assert!(now["lastError"].is_null() && now["signature"]["trusted"] == true, "{now}");
}

#[tokio::test]
async fn a_plugin_of_the_other_kind_does_not_take_a_name() {
    let upstream = Upstream::echo().await;
    let limited = service("limited", &upstream)
        .tag("traefik.http.routers.limited.middlewares=limited")
        .tag("traefik.http.middlewares.limited.ratelimit.average=1")
        .tag("traefik.http.middlewares.limited.ratelimit.period=1h");
    let gateway = Setup::with_services(&[service("shop", &upstream), limited])
        .with_plugin_directory()
        .config(SHOP)
        .with_plugin("scripted", &guest("scripted"))
        .with_plugin("rate-limit", &built("traefik-tags"))
        .start()
        .await;
    // There from the beginning: what is built in serves instead.
    let now = until_refused(&gateway, "rate-limit", "this is a router, and `rate-limit` is a policy").await;
    assert_eq!((&now["source"], &now["state"]), (&"builtin".into(), &"active".into()), "{now}");
    assert_eq!(gateway.get("limited.test", "/").await.status(), 200);
    assert_eq!(gateway.get("limited.test", "/").await.status(), 429);

    for (name, other, reason) in [
        (
            "scripted",
            built("traefik-tags"),
            "this is a router, and `scripted` is a policy; give the file a name of its own",
        ),
        ("traefik-tags", guest("scripted"), "this is a policy, and `traefik-tags` is a router"),
    ] {
        let before = plugin(&gateway, name).await;
        gateway.plugins().put(name, &other);
        let now = until_refused(&gateway, name, reason).await;
        assert_eq!((&now["digest"], &now["state"]), (&before["digest"], &"active".into()), "{now}");
    }
    assert_eq!(gateway.get("shop.test", "/").await.head.get("x-fields"), Some("- - - 32"));
    gateway.catalog().replace(&[service("new", &upstream)]);
    gateway.until_status("new.test", 200).await;
}

#[tokio::test]
async fn a_file_asks_nobody_because_the_built_in_plugin_may() {
    let (upstream, guard) = (Upstream::echo().await, told("guard", &Arc::new(AtomicU16::new(200))).await);
    let guarded = service("shop", &upstream)
        .tag("traefik.http.routers.shop.middlewares=shop")
        .tag(&format!("traefik.http.middlewares.shop.forwardauth.address=http://{}/verify", guard.address()));
    let file = variant(&built("forward-auth"), 1);
    let setup = || {
        Setup::with_services(std::slice::from_ref(&guarded)).with_plugin_directory().with_plugin("forward-auth", &file)
    };

    let gateway = setup().start().await;
    let now = until_refused(&gateway, "forward-auth", "say whom it may ask: `[plugins.settings.forward-auth]`").await;
    assert_eq!((&now["source"], &now["state"]), (&"builtin".into(), &"active".into()), "{now}");
    assert!(now["grants"].to_string().contains("outbound:*"), "{now}");
    assert_eq!(gateway.get("shop.test", "/").await.status(), 200);
    drop(gateway);

    let granted = format!("[plugins.settings.forward-auth]\ngrants = [\"outbound:http://{}\"]", guard.address());
    let gateway = setup().config(&granted).start().await;
    let now = plugin(&gateway, "forward-auth").await;
    assert!(now["source"] != "builtin" && now["lastError"].is_null(), "{now}");
    assert!(!now["grants"].to_string().contains("outbound:*"), "{now}");
    assert_eq!(gateway.get("shop.test", "/").await.status(), 200);
}

#[tokio::test]
async fn nothing_is_remembered_where_requests_are_isolated() {
    let upstream = Upstream::echo().await;
    let start = async |settings: &str| {
        let setup = Setup::with_services(&[service("shop", &upstream)]).with_plugin_directory().config(SHOP);
        let setup = setup.with_plugin("scripted", &guest("scripted")).config("[runtime]\nworkers = 1");
        setup.config(settings).start().await
    };
    for (settings, expected) in
        [("", ["1", "2", "3"]), ("[plugins.settings.scripted]\nisolation = \"request\"", ["1", "1", "1"])]
    {
        let gateway = start(settings).await;
        for asked in expected {
            assert_eq!(gateway.get("shop.test", "/").await.head.get("x-asked"), Some(asked), "{settings}");
        }
        let seen = async || gateway.api("/api/policies/shop").await["status"]["seen"].clone();
        until("the host remembers all the same", async || seen().await == 3).await;
    }
}
