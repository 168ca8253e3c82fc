//! How requests spread over a service's instances.

use sluice_tests::catalog::Service;
use sluice_tests::gateway::Setup;
use sluice_tests::upstream::Upstream;

#[tokio::test]
async fn weights_set_the_share_of_each_instance() {
    let (heavy, light) = (Upstream::echo().await, Upstream::echo().await);
    let service = Service::on_host("shop", "shop.test");
    let service = service.at_port(heavy.port(), &["traefik.weight=3"]).at_port(light.port(), &["traefik.weight=1"]);
    let gateway = Setup::with_services(&[service]).start().await;

    for _ in 0..12 {
        assert_eq!(gateway.get("shop.test", "/").await.status(), 200);
    }
    assert_eq!((heavy.received().len(), light.received().len()), (9, 3));
}

#[tokio::test]
async fn v3_weights_set_the_share_too() {
    let (heavy, light) = (Upstream::echo().await, Upstream::echo().await);
    let weight = |weight: u32| format!("traefik.http.services.shop.loadbalancer.server.weight={weight}");
    let service = Service::new("shop", &["traefik.http.routers.shop.rule=Host(`shop.test`)"]);
    let service = service.at_port(heavy.port(), &[&weight(2)]).at_port(light.port(), &[&weight(1)]);
    let gateway = Setup::with_services(&[service]).start().await;

    for _ in 0..9 {
        assert_eq!(gateway.get("shop.test", "/").await.status(), 200);
    }
    assert_eq!((heavy.received().len(), light.received().len()), (6, 3));
}

#[tokio::test]
async fn heavy_weights_do_not_come_in_runs() {
    let (heavy, light) = (Upstream::echo().await, Upstream::echo().await);
    let service = Service::on_host("shop", "shop.test");
    let service = service.at_port(heavy.port(), &["traefik.weight=2"]).at_port(light.port(), &["traefik.weight=2"]);
    let gateway = Setup::with_services(&[service]).start().await;

    for round in 1..=4 {
        for _ in 0..2 {
            assert_eq!(gateway.get("shop.test", "/").await.status(), 200);
        }
        assert_eq!((heavy.received().len(), light.received().len()), (round, round), "round {round}");
    }
}

#[tokio::test]
async fn a_connection_to_an_instance_is_used_again() {
    let upstream = Upstream::echo().await;
    let gateway = Setup::with_services(&[Service::on_host("shop", "shop.test").at(&upstream)]).start().await;

    let mut wire = sluice_tests::wire::Wire::connect(gateway.web()).await.unwrap();
    for _ in 0..20 {
        let answer = sluice_tests::client::Request::get("shop.test", "/").send_on(&mut wire).await.unwrap();
        assert_eq!(answer.status(), 200);
    }
    // All from one client connection, so from one worker: nothing but keep-alive explains a single connection.
    assert_eq!((upstream.received().len(), upstream.connections()), (20, 1));
}

#[tokio::test]
async fn a_kept_connection_the_instance_has_closed_costs_no_request() {
    // Answers one request per connection, then closes it without having announced that.
    let upstream = Upstream::custom(async |mut wire: sluice_tests::wire::Wire| {
        if let Ok(Some(head)) = wire.read_head().await {
            let _ = wire.read_request_body(&head).await;
            let _ = wire.write(sluice_tests::upstream::answer(200, "once")).await;
        }
    })
    .await;
    let gateway = Setup::with_services(&[Service::on_host("shop", "shop.test").at(&upstream)]).start().await;

    for number in 0..20 {
        let answer = gateway.get("shop.test", "/").await;
        assert_eq!((answer.status(), answer.text().as_str()), (200, "once"), "request {number}");
        // The close has to reach the gateway: a request that crosses it cannot be told from one that was processed.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
