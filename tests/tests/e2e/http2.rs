//! HTTP/2 without TLS, by prior knowledge.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use sluice_tests::catalog::Service;
use sluice_tests::client::http2;
use sluice_tests::gateway::Setup;
use sluice_tests::upstream::Upstream;

fn post(host: &str, body: &str) -> Request<Full<Bytes>> {
    let uri = format!("http://{host}/over?two=2");
    Request::post(uri).body(Full::new(Bytes::from(body.to_owned()))).unwrap()
}

#[tokio::test]
async fn requests_share_a_connection_and_are_routed_apart() {
    let (one, two) = (Upstream::echo().await, Upstream::echo().await);
    let services = [Service::on_host("one", "one.test").at(&one), Service::on_host("two", "two.test").at(&two)];
    let gateway = Setup::with_services(&services).start().await;

    let requests = vec![post("one.test", "first"), post("two.test", "second"), post("none.test", "third")];
    let answers = http2(gateway.web(), requests).await;
    let statuses: Vec<_> = answers.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, [200, 200, 404]);
    let seen: serde_json::Value = serde_json::from_slice(&answers[0].1).unwrap();
    assert_eq!((&seen["host"], &seen["body"]), (&"one.test".into(), &"first".into()));
    assert_eq!((&seen["method"], &seen["uri"]), (&"POST".into(), &"/over?two=2".into()));
    assert_eq!(seen["headers"]["x-forwarded-for"][0], "127.0.0.1");
    assert_eq!((one.received().len(), two.received().len()), (1, 1));
    assert_eq!(&answers[2].1[..], b"404 page not found\n");
}
