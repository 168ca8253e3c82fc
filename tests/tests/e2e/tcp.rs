//! Whole connections: passed through with their TLS, freed of it, or plain.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::pki_types::ServerName;
use sluice_tests::catalog::Service;
use sluice_tests::client::Request;
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::process::{Folder, free_address};
use sluice_tests::tls::{Authority, connect, get};
use sluice_tests::until;
use sluice_tests::upstream::Upstream;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// Says hello, reads to the client's end, and gives back what it read after its name.
async fn banner(name: &'static str, tls: Option<Arc<ServerConfig>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                match tls {
                    None => talk(name, stream).await,
                    Some(config) => match TlsAcceptor::from(config).accept(stream).await {
                        Ok(stream) => talk(name, stream).await,
                        Err(_) => Ok(()),
                    },
                }
            });
        }
    });
    address
}

async fn talk(name: &str, mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin) -> std::io::Result<()> {
    stream.write_all(b"hello\n").await?;
    let mut read = Vec::new();
    stream.read_to_end(&mut read).await?;
    stream.write_all(&[name.as_bytes(), b" got ", &read].concat()).await?;
    stream.shutdown().await
}

/// Waits for the banner before it says anything, ends its side, and reads the answer.
async fn converse(mut stream: impl AsyncReadExt + AsyncWriteExt + Unpin, say: &str) -> std::io::Result<String> {
    let mut hello = [0; 6];
    stream.read_exact(&mut hello).await?;
    stream.write_all(say.as_bytes()).await?;
    stream.shutdown().await?;
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await?;
    Ok(rest)
}

fn tcp(name: &str, port: u16, rule: &str, more: &[&str]) -> Service {
    let prefix = format!("traefik.tcp.routers.{name}");
    let service = Service::new(name, &[&format!("{prefix}.rule={rule}")]);
    more.iter().fold(service.at_port(port, &[]), |service, tag| service.tag(&tag.replace('@', &prefix)))
}

async fn start(services: &[Service], folder: &Folder, entrypoints: &[(&str, SocketAddr, &str)]) -> Gateway {
    let at = |(name, address, more): &(&str, SocketAddr, &str)| {
        format!("[entrypoints.{name}]\naddress = \"{address}\"\nas-default = false\n{more}")
    };
    let certificates =
        format!("[[tls.certificates]]\ncert = {:?}\nkey = {:?}", folder.join("all.pem"), folder.join("all.key"));
    let entrypoints: Vec<_> = entrypoints.iter().map(at).collect();
    Setup::with_services(services).config(&entrypoints.join("\n")).config(&certificates).start().await
}

#[tokio::test]
async fn tls_connections_go_by_their_name_with_or_without_their_tls() {
    let (folder, ours, theirs) = (Folder::new(), Authority::new(), Authority::new());
    ours.issue(&["plain.test", "web.test", "x.test"]).write(folder.path(), "all");
    let through = banner("through", Some(theirs.issue(&["db.test", "a.wild.test"]).server())).await;
    let ended = banner("ended", None).await;
    let web = Upstream::echo().await;
    let services = [
        tcp(
            "db",
            through.port(),
            "HostSNI(`db.test`) || HostSNIRegexp(`^[a-z]+\\.wild\\.test$`)",
            &["@.tls.passthrough=true", "@.entrypoints=mixed"],
        ),
        tcp("plain", ended.port(), "HostSNI(`plain.test`)", &["@.tls=true", "@.entrypoints=mixed"]),
        tcp("pg", ended.port(), "ALPN(`postgresql`)", &["@.tls=true", "@.entrypoints=mixed"]),
        Service::new(
            "web",
            &[
                "traefik.http.routers.web.rule=Host(`web.test`)",
                "traefik.http.routers.web.tls=true",
                "traefik.http.routers.web.entrypoints=mixed",
            ],
        )
        .at(&web),
        Service::new(
            "open",
            &["traefik.http.routers.open.rule=Host(`web.test`)", "traefik.http.routers.open.entrypoints=mixed"],
        )
        .at(&web),
    ];
    let mixed = free_address();
    let gateway = start(&services, &folder, &[("mixed", mixed, "")]).await;

    let (client, stranger) = (Arc::new(ours.client(None)), Arc::new(theirs.client(None)));
    for name in ["db.test", "a.wild.test"] {
        let stream = connect(mixed, name, &stranger).await.unwrap();
        assert_eq!(converse(stream, "select 1").await.unwrap(), "through got select 1", "{name}");
    }
    let stream = connect(mixed, "plain.test", &client).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), None, "the target may not speak what clients offer");
    assert_eq!(converse(stream, "half").await.unwrap(), "ended got half");
    let mut pg = ours.client(None);
    pg.alpn_protocols = vec![b"postgresql".to_vec()];
    let stream = connect(mixed, "x.test", &Arc::new(pg)).await.unwrap();
    assert_eq!(converse(stream, "by alpn").await.unwrap(), "ended got by alpn");
    // Requests are routed on the same port, with TLS and without.
    let mut stream = connect(mixed, "web.test", &client).await.unwrap();
    assert_eq!(get(&mut stream, "web.test", "/").await.unwrap().0, 200);
    let mut stream = connect(mixed, "x.test", &client).await.unwrap();
    assert_eq!(get(&mut stream, "x.test", "/").await.unwrap().0, 404);
    assert_eq!(Request::get("web.test", "/").send(mixed).await.status(), 200);

    // A hello in many records and segments is read as one.
    let torn = tokio::task::spawn_blocking(move || torn_hello(mixed, &stranger, "db.test")).await.unwrap();
    assert_eq!(torn.unwrap(), "hello\nthrough got torn");

    let routers = gateway.api("/api/tcp/routers").await;
    let db = routers.as_array().unwrap().iter().find(|router| router["name"] == "db@file").unwrap();
    assert_eq!((&db["tls"]["passthrough"], &db["status"]), (&true.into(), &"enabled".into()));
    let service = gateway.api("/api/tcp/services/db@file").await;
    assert_eq!(service["loadBalancer"]["servers"][0]["address"], through.to_string());
    assert_eq!(gateway.api("/api/overview").await["tcp"]["routers"]["total"], 3);
}

/// Cuts the first flight into records of 30 bytes, each sent by itself, and goes on as usual.
fn torn_hello(address: SocketAddr, config: &Arc<rustls::ClientConfig>, name: &'static str) -> std::io::Result<String> {
    let mut session = rustls::ClientConnection::new(Arc::clone(config), ServerName::try_from(name).unwrap()).unwrap();
    let mut hello = Vec::new();
    while session.wants_write() {
        session.write_tls(&mut hello)?;
    }
    let mut socket = std::net::TcpStream::connect(address)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(sluice_tests::PATIENCE))?;
    for part in hello[5..].chunks(30) {
        socket.write_all(&[&hello[..3], &u16::try_from(part.len()).unwrap().to_be_bytes(), part].concat())?;
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut stream = rustls::Stream::new(&mut session, &mut socket);
    stream.write_all(b"torn")?;
    stream.conn.send_close_notify();
    let mut read = String::new();
    stream.read_to_string(&mut read)?;
    Ok(read)
}

#[tokio::test]
async fn plain_connections_go_to_the_catch_all_and_its_steps_hold() {
    let folder = Folder::new();
    Authority::new().issue(&["a.test"]).write(folder.path(), "all");
    let target = banner("target", None).await;
    let (gone, checked) = (free_address(), free_address());
    let catch_all = "HostSNI(`*`)";
    let services = [
        tcp(
            "first",
            target.port(),
            catch_all,
            &["@.entrypoints=first", "@.service=s", "traefik.tcp.services.s.loadbalancer.proxyprotocol.version=1"],
        )
        .at_port(gone.port(), &[]),
        tcp(
            "few",
            target.port(),
            catch_all,
            &["@.entrypoints=few", "@.middlewares=one", "traefik.tcp.middlewares.one.inflightconn.amount=1"],
        ),
        tcp(
            "shut",
            target.port(),
            catch_all,
            &[
                "@.entrypoints=shut",
                "@.middlewares=office",
                "traefik.tcp.middlewares.office.ipallowlist.sourcerange=10.0.0.0/8, 192.168.0.1",
            ],
        ),
        tcp("apart", target.port(), "HostSNI(`*`) && ClientIP(`10.0.0.0/8`)", &["@.entrypoints=shared"]),
        tcp("bad", target.port(), "HostSNI(`a.test`)", &["@.entrypoints=first"]),
        Service::new(
            "unheard",
            &[
                "traefik.http.routers.unheard.rule=PathPrefix(`/`)",
                "traefik.http.routers.unheard.entrypoints=first,shared",
            ],
        )
        .at_port(target.port(), &[]),
        tcp(
            "checked",
            target.port(),
            catch_all,
            &["@.entrypoints=checked", "@.service=c", "traefik.tcp.services.c.loadbalancer.healthcheck.interval=200ms"],
        )
        .at_port(gone.port(), &[]),
    ];
    let [first, few, shut, shared] = [free_address(), free_address(), free_address(), free_address()];
    let entrypoints =
        [("first", first, ""), ("few", few, ""), ("shut", shut, ""), ("shared", shared, ""), ("checked", checked, "")];
    let gateway = start(&services, &folder, &entrypoints).await;

    // Every other connection begins with the target that is gone, and goes on to the one that is there.
    for _ in 0..4 {
        let stream = TcpStream::connect(first).await.unwrap();
        let local = stream.local_addr().unwrap();
        let head = format!("PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n", local.port(), first.port());
        assert_eq!(converse(stream, "say").await.unwrap(), format!("target got {head}say"));
    }

    until("the check has found the target that is gone", async || {
        let service = gateway.api("/api/tcp/services/c@file").await;
        service["serverStatus"][gone.to_string()] == "DOWN" && service["serverStatus"][target.to_string()] == "UP"
    })
    .await;
    for _ in 0..4 {
        let stream = TcpStream::connect(checked).await.unwrap();
        assert_eq!(converse(stream, "x").await.unwrap(), "target got x");
    }

    let mut one = TcpStream::connect(few).await.unwrap();
    one.read_exact(&mut [0; 6]).await.unwrap();
    let mut two = TcpStream::connect(few).await.unwrap();
    assert!(matches!(two.read(&mut [0; 6]).await, Ok(0) | Err(_)), "the second is one too many");
    // A generation later it is still connected, and still counts.
    let mut changed = services.to_vec();
    changed[1] = changed[1].clone().tag("traefik.tcp.routers.few.priority=7");
    gateway.catalog().replace(&changed);
    until("the change is in force", async || gateway.api("/api/tcp/routers/few@file").await["priority"] == 7).await;
    let mut three = TcpStream::connect(few).await.unwrap();
    assert!(matches!(three.read(&mut [0; 6]).await, Ok(0) | Err(_)), "counts outlive generations");
    one.shutdown().await.unwrap();
    one.read_to_end(&mut Vec::new()).await.unwrap();
    until("there is room again", async || {
        let stream = TcpStream::connect(few).await.unwrap();
        converse(stream, "x").await.is_ok_and(|answer| answer == "target got x")
    })
    .await;

    let mut outside = TcpStream::connect(shut).await.unwrap();
    assert!(matches!(outside.read(&mut [0; 6]).await, Ok(0) | Err(_)));
    let requests = Request::get("a.test", "/").send(shared).await;
    assert_eq!(
        requests.status(),
        502,
        "requests go on where no route takes the connection, to a target that speaks none"
    );

    let text = Request::get("admin", "/metrics").send(gateway.admin()).await.text();
    for line in [
        "sluice_tcp_service_connections_total{service=\"s@file\",outcome=\"done\"} 4",
        "sluice_tcp_service_connections_total{service=\"few@file\",outcome=\"too-many\"} ",
        "sluice_tcp_service_connections_total{service=\"shut@file\",outcome=\"not-allowed\"} 1",
        "sluice_tcp_service_open_connections{service=\"s@file\"} 0.0",
        "sluice_tcp_service_bytes_total{service=\"s@file\",direction=\"received\"} 12",
    ] {
        assert!(text.lines().any(|found| found.starts_with(line)), "{line}\nin\n{text}");
    }
    let told = gateway.api("/api/discovery").await.to_string();
    assert!(told.contains("only TLS connections have a server name"), "{told}");
    assert!(told.contains("it takes every plain connection of entrypoint `first`, so 1 routes"), "{told}");
    let office = gateway.api("/api/tcp/middlewares/office@file").await;
    assert_eq!(office["ipAllowList"]["sourceRange"][1], "192.168.0.1");
}

/// Each service at an entrypoint of its own name, to an instance that speaks TLS.
fn over_tls(name: &str, target: SocketAddr, options: &[&str]) -> Service {
    let start = format!("traefik.tcp.services.{name}.loadbalancer");
    let service = tcp(name, target.port(), "HostSNI(`*`)", &[&format!("@.entrypoints={name}")]);
    let service = service.tag(&format!("{start}.server.tls=true"));
    options.iter().fold(service, |service, option| service.tag(&format!("{start}.{option}")))
}

#[tokio::test]
async fn tls_to_targets_is_spoken_as_the_transport_says() {
    let (folder, ours, theirs) = (Folder::new(), Authority::new(), Authority::new());
    std::fs::write(folder.join("theirs.pem"), theirs.pem()).unwrap();
    ours.issue(&["gateway.test"]).write(folder.path(), "client");
    ours.issue(&["a.test"]).write(folder.path(), "all");
    let inner = banner("inner", Some(theirs.issue(&["db.internal"]).server_asking(&ours))).await;
    let usual = banner("usual", Some(theirs.issue(&["127.0.0.1"]).server())).await;
    let services = [
        over_tls("named", inner, &["serverstransport=inner"]),
        over_tls("usual", usual, &["healthcheck.interval=100ms", "healthcheck.expect=hello"]),
        over_tls("rude", usual, &["healthcheck.interval=100ms", "healthcheck.send=x", "healthcheck.expect=howdy"]),
        over_tls("stranger", inner, &[]),
        over_tls("ghost", usual, &["serverstransport=ghost"]),
    ];
    let places = services.iter().map(|_| free_address()).collect::<Vec<_>>();
    let [named, usual, rude, stranger, _] = places[..] else { unreachable!("as many as there are services") };
    let (ca, cert, key) = (folder.join("theirs.pem"), folder.join("client.pem"), folder.join("client.key"));
    let transports = format!(
        "[transports.default]\nca = {ca:?}\n[transports.inner]\nca = {ca:?}\ncert = {cert:?}\nkey = {key:?}\n\
         server-name = \"db.internal\"\n"
    );
    let names = ["named", "usual", "rude", "stranger", "ghost"];
    let entrypoints: Vec<_> = names.iter().zip(&places).map(|(name, place)| (*name, *place, "")).collect();
    let entrypoints = [&entrypoints[..4], &[("ghost", places[4], transports.as_str())]].concat();
    let gateway = start(&services, &folder, &entrypoints).await;

    let stream = TcpStream::connect(named).await.unwrap();
    assert_eq!(converse(stream, "select").await.unwrap(), "inner got select");
    let stream = TcpStream::connect(usual).await.unwrap();
    assert_eq!(converse(stream, "x").await.unwrap(), "usual got x");
    let mut shut = TcpStream::connect(stranger).await.unwrap();
    assert!(matches!(shut.read(&mut [0; 6]).await, Ok(0) | Err(_)), "it proves another name, and wants one proven");
    assert_eq!(gateway.api("/api/tcp/services/named@file").await["loadBalancer"]["serversTransport"], "inner");
    let ghost = gateway.api("/api/tcp/routers/ghost@file").await["error"].to_string();
    assert!(ghost.contains("transport `ghost` does not exist; write `[transports.ghost]`"), "{ghost}");

    until("the answer is not the one that is expected", async || {
        let status = gateway.api("/api/tcp/services/rude@file").await["serverStatus"].to_string();
        status.contains("DOWN")
    })
    .await;
    let mut shut = TcpStream::connect(rude).await.unwrap();
    assert!(matches!(shut.read(&mut [0; 6]).await, Ok(0) | Err(_)), "there is no target");
    let stream = TcpStream::connect(usual).await.unwrap();
    assert_eq!(converse(stream, "x").await.unwrap(), "usual got x", "what is expected is answered");
    let status = gateway.api("/api/tcp/services/usual@file").await["serverStatus"].to_string();
    assert!(status.contains("UP"), "{status}");
}

#[tokio::test]
async fn a_connection_is_finished_before_the_gateway_ends() {
    let folder = Folder::new();
    Authority::new().issue(&["a.test"]).write(folder.path(), "all");
    let target = banner("target", None).await;
    let services = [tcp("all", target.port(), "HostSNI(`*`)", &["@.entrypoints=db"])];
    let db = free_address();
    let log = folder.join("access.log");
    let setup = format!("[access-log]\noutput = {log:?}\nformat = \"json\"\n[shutdown]\npre-stop = 0");
    let entrypoint = format!("[entrypoints.db]\naddress = \"{db}\"\nas-default = false");
    let mut gateway = Setup::with_services(&services).config(&entrypoint).config(&setup).start().await;
    let mut stream = TcpStream::connect(db).await.unwrap();
    stream.read_exact(&mut [0; 6]).await.unwrap();
    gateway.process().signal("TERM");
    until("it accepts no more", async || TcpStream::connect(db).await.is_err()).await;
    stream.write_all(b"late").await.unwrap();
    stream.shutdown().await.unwrap();
    let mut rest = String::new();
    stream.read_to_string(&mut rest).await.unwrap();
    assert_eq!(rest, "target got late");
    until("it has ended", async || gateway.process().ended().is_some()).await;
    let lines = std::fs::read_to_string(&log).unwrap();
    // Looks whether it still accepts are connections as well: this one is told apart by what it got.
    let all = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let line = all.into_iter().find(|line| line["DownstreamContentSize"] == 21).expect("a line for the connection");
    assert_eq!((&line["RouterName"], &line["ServiceName"]), (&"all@file".into(), &"all@file".into()));
    assert_eq!((&line["RequestProtocol"], &line["ServiceURL"]), (&"TCP".into(), &format!("tcp://{target}").into()));
    assert_eq!(line["DownstreamStatus"], 200);
}
