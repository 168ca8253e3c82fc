//! Every option of Traefik 3.7 that tags can set, except those of middlewares, which are beside what they come to. What
//! is listed here is accepted; whether it does something is decided by the modules beside. To add an option, add its
//! row.

use super::middlewares;
use crate::tags::schema::Bare::{Allowed, Refused};
use crate::tags::schema::Schema::{self, Boolean, Duration, Free, Ignored, Integer, Items, Map, Object, Text};

pub(super) const ROOT: Schema = Object(
    &[
        ("enable", Boolean),
        ("consulcatalog", Object(&[("connect", Boolean), ("canary", Boolean)], Refused)),
        ("http", HTTP),
        ("tcp", TCP),
        ("udp", Free),
        ("tls", Free),
    ],
    Refused,
);

const HTTP: Schema = Object(
    &[
        ("routers", Map(&ROUTER)),
        ("services", Map(&SERVICE)),
        ("middlewares", Map(&middlewares::OPTIONS)),
        ("serverstransports", Ignored),
        ("models", Ignored),
    ],
    Refused,
);

const ROUTER: Schema = Object(
    &[
        ("rule", Text),
        ("rulesyntax", Text),
        ("priority", Integer),
        ("entrypoints", Text),
        ("middlewares", Text),
        ("service", Text),
        ("parentrefs", Ignored),
        ("tls", Object(&[("options", Text), ("certresolver", Text), ("domains", Items(&DOMAIN))], Allowed)),
        (
            "observability",
            Object(
                &[("accesslogs", Boolean), ("metrics", Boolean), ("tracing", Boolean), ("traceverbosity", Text)],
                Refused,
            ),
        ),
    ],
    Allowed,
);

const TCP: Schema = Object(
    &[
        ("routers", Map(&TCP_ROUTER)),
        ("services", Map(&TCP_SERVICE)),
        ("middlewares", Map(&TCP_MIDDLEWARE)),
        ("serverstransports", Ignored),
        ("models", Ignored),
    ],
    Refused,
);

const TCP_ROUTER: Schema = Object(
    &[
        ("rule", Text),
        ("rulesyntax", Text),
        ("priority", Integer),
        ("entrypoints", Text),
        ("middlewares", Text),
        ("service", Text),
        (
            "tls",
            Object(
                &[("passthrough", Boolean), ("options", Text), ("certresolver", Text), ("domains", Items(&DOMAIN))],
                Allowed,
            ),
        ),
    ],
    Allowed,
);

const TCP_SERVICE: Schema =
    Object(&[("loadbalancer", TCP_LOADBALANCER), ("weighted", Ignored), ("highestrandomweight", Ignored)], Allowed);

/// `server.weight` is ours: Traefik weighs TCP services, not their servers.
const TCP_LOADBALANCER: Schema = Object(
    &[
        ("server", Object(&[("port", Text), ("tls", Boolean), ("weight", Integer)], Refused)),
        ("serverstransport", Text),
        ("proxyprotocol", Object(&[("version", Integer)], Allowed)),
        ("terminationdelay", Integer),
        (
            "healthcheck",
            Object(
                &[
                    ("port", Integer),
                    ("send", Text),
                    ("expect", Text),
                    ("interval", Duration),
                    ("unhealthyinterval", Duration),
                    ("timeout", Duration),
                ],
                Refused,
            ),
        ),
    ],
    Refused,
);

const TCP_MIDDLEWARE: Schema = Object(
    &[
        ("inflightconn", Object(&[("amount", Integer)], Refused)),
        ("ipallowlist", Object(&[("sourcerange", Text)], Refused)),
        ("ipwhitelist", Object(&[("sourcerange", Text)], Refused)),
    ],
    Allowed,
);

const DOMAIN: Schema = Object(&[("main", Text), ("sans", Text)], Refused);

const SERVICE: Schema = Object(
    &[
        ("loadbalancer", LOADBALANCER),
        ("middlewares", Text),
        ("weighted", WEIGHTED),
        ("mirroring", MIRRORING),
        ("failover", FAILOVER),
        ("highestrandomweight", HIGHEST_RANDOM_WEIGHT),
    ],
    Allowed,
);

/// Traefik takes these from its other providers only.
const WEIGHTED: Schema =
    Object(&[("services", Items(&SHARE)), ("sticky", STICKY), ("healthcheck", Object(&[], Allowed))], Refused);

const SHARE: Schema = Object(&[("name", Text), ("weight", Integer)], Refused);

const MIRRORING: Schema = Object(
    &[
        ("service", Text),
        ("mirrorbody", Boolean),
        ("maxbodysize", Integer),
        ("mirrors", Items(&Object(&[("name", Text), ("percent", Integer)], Refused))),
        ("healthcheck", Object(&[], Allowed)),
    ],
    Refused,
);

const FAILOVER: Schema = Object(
    &[
        ("service", Text),
        ("fallback", Text),
        ("healthcheck", Object(&[], Allowed)),
        ("errors", Object(&[("status", Text), ("maxrequestbodybytes", Integer)], Refused)),
    ],
    Refused,
);

const HIGHEST_RANDOM_WEIGHT: Schema =
    Object(&[("services", Items(&SHARE)), ("healthcheck", Object(&[], Allowed))], Refused);

const LOADBALANCER: Schema = Object(
    &[
        (
            "server",
            Object(
                &[("port", Text), ("scheme", Text), ("url", Text), ("weight", Integer), ("preservepath", Boolean)],
                Refused,
            ),
        ),
        ("passhostheader", Boolean),
        ("strategy", Text),
        ("sticky", STICKY),
        ("healthcheck", HEALTHCHECK),
        ("passivehealthcheck", Object(&[("failurewindow", Duration), ("maxfailedattempts", Integer)], Refused)),
        ("responseforwarding", Object(&[("flushinterval", Duration)], Refused)),
        ("serverstransport", Text),
        // Not Traefik's: what its tags cannot say.
        (
            "outlierejection",
            Object(
                &[("failures", Integer), ("basetime", Duration), ("maxtime", Duration), ("maxpercent", Integer)],
                Allowed,
            ),
        ),
        ("panicthreshold", Integer),
        ("slowstart", Duration),
        ("maxrequests", Integer),
        ("queue", Object(&[("size", Integer), ("timeout", Duration)], Refused)),
    ],
    Refused,
);

const STICKY: Schema = Object(&[("cookie", COOKIE)], Allowed);

const COOKIE: Schema = Object(
    &[
        ("name", Text),
        ("secure", Boolean),
        ("httponly", Boolean),
        ("samesite", Text),
        ("maxage", Integer),
        ("path", Text),
        ("domain", Text),
    ],
    Allowed,
);

const HEALTHCHECK: Schema = Object(
    &[
        ("path", Text),
        ("mode", Text),
        ("scheme", Text),
        ("port", Integer),
        ("method", Text),
        ("status", Integer),
        ("interval", Duration),
        ("unhealthyinterval", Duration),
        ("timeout", Duration),
        ("hostname", Text),
        ("followredirects", Boolean),
        ("headers", Map(&Text)),
        // Not Traefik's: how many results in a row count.
        ("passes", Integer),
        ("failures", Integer),
    ],
    Refused,
);
