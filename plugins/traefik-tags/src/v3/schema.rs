//! Every option of Traefik 3.7 that tags can set. What is listed here is accepted; whether it does something is decided
//! by the modules beside. To add an option, add its row.

use crate::tags::schema::Bare::{Allowed, Refused};
use crate::tags::schema::Schema::{self, Boolean, Duration, Free, Ignored, Integer, Items, Map, Object, Text};

pub(super) const ROOT: Schema = Object(
    &[
        ("enable", Boolean),
        ("consulcatalog", Object(&[("connect", Boolean), ("canary", Boolean)], Refused)),
        ("http", HTTP),
        ("tcp", Free),
        ("udp", Free),
        ("tls", Free),
    ],
    Refused,
);

const HTTP: Schema = Object(
    &[
        ("routers", Map(&ROUTER)),
        ("services", Map(&SERVICE)),
        ("middlewares", Map(&MIDDLEWARE)),
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

const DOMAIN: Schema = Object(&[("main", Text), ("sans", Text)], Refused);

const SERVICE: Schema = Object(
    &[
        ("loadbalancer", LOADBALANCER),
        ("middlewares", Text),
        ("weighted", Ignored),
        ("mirroring", Ignored),
        ("failover", Ignored),
        ("highestrandomweight", Ignored),
    ],
    Allowed,
);

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
        ("sticky", Object(&[("cookie", COOKIE)], Allowed)),
        ("healthcheck", HEALTHCHECK),
        ("passivehealthcheck", Object(&[("failurewindow", Duration), ("maxfailedattempts", Integer)], Refused)),
        ("responseforwarding", Object(&[("flushinterval", Duration)], Refused)),
        ("serverstransport", Text),
    ],
    Refused,
);

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
    ],
    Refused,
);

/// Kinds and their options; `middlewares.rs` says what each comes to.
const MIDDLEWARE: Schema = Object(
    &[
        ("addprefix", Object(&[("prefix", Text)], Refused)),
        ("stripprefix", Object(&[("prefixes", Text), ("forceslash", Boolean)], Refused)),
        ("stripprefixregex", Object(&[("regex", Text)], Refused)),
        ("replacepath", Object(&[("path", Text)], Refused)),
        ("replacepathregex", Object(&[("regex", Text), ("replacement", Text)], Refused)),
        ("redirectregex", Object(&[("regex", Text), ("replacement", Text), ("permanent", Boolean)], Refused)),
        ("redirectscheme", Object(&[("scheme", Text), ("port", Text), ("permanent", Boolean)], Refused)),
        ("chain", Object(&[("middlewares", Text)], Refused)),
        (
            "ipallowlist",
            Object(&[("sourcerange", Text), ("ipstrategy", IP_STRATEGY), ("rejectstatuscode", Integer)], Refused),
        ),
        ("ipwhitelist", Object(&[("sourcerange", Text), ("ipstrategy", IP_STRATEGY)], Refused)),
        ("headers", HEADERS),
        ("encodedcharacters", ENCODED_CHARACTERS),
        (
            "errors",
            Object(
                &[
                    ("status", Text),
                    ("service", Text),
                    ("query", Text),
                    ("statusrewrites", Map(&Integer)),
                    ("errorrequestheaders", Text),
                ],
                Refused,
            ),
        ),
        ("ratelimit", RATE_LIMIT),
        ("inflightreq", Object(&[("amount", Integer), ("sourcecriterion", SOURCE_CRITERION)], Refused)),
        (
            "buffering",
            Object(
                &[
                    ("maxrequestbodybytes", Integer),
                    ("memrequestbodybytes", Integer),
                    ("maxresponsebodybytes", Integer),
                    ("memresponsebodybytes", Integer),
                    ("retryexpression", Text),
                ],
                Refused,
            ),
        ),
        (
            "circuitbreaker",
            Object(
                &[
                    ("expression", Text),
                    ("checkperiod", Duration),
                    ("fallbackduration", Duration),
                    ("recoveryduration", Duration),
                    ("responsecode", Integer),
                ],
                Refused,
            ),
        ),
        (
            "compress",
            Object(
                &[
                    ("encodings", Text),
                    ("excludedcontenttypes", Text),
                    ("includedcontenttypes", Text),
                    ("minresponsebodybytes", Integer),
                    ("defaultencoding", Text),
                ],
                Allowed,
            ),
        ),
        ("basicauth", AUTH),
        ("digestauth", AUTH),
        ("forwardauth", FORWARD_AUTH),
        (
            "retry",
            Object(
                &[
                    ("attempts", Integer),
                    ("initialinterval", Duration),
                    ("timeout", Duration),
                    ("status", Text),
                    ("maxrequestbodybytes", Integer),
                    ("disableretryonnetworkerror", Boolean),
                    ("retrynonidempotentmethod", Boolean),
                ],
                Refused,
            ),
        ),
        ("passtlsclientcert", Object(&[("pem", Boolean), ("info", CERT_INFO)], Refused)),
        ("contenttype", Object(&[("autodetect", Boolean)], Allowed)),
        ("grpcweb", Object(&[("alloworigins", Text)], Refused)),
        ("plugin", Map(&Free)),
    ],
    Allowed,
);

const IP_STRATEGY: Schema = Object(&[("depth", Integer), ("excludedips", Text), ("ipv6subnet", Integer)], Allowed);

const SOURCE_CRITERION: Schema =
    Object(&[("ipstrategy", IP_STRATEGY), ("requestheadername", Text), ("requesthost", Boolean)], Refused);

const RATE_LIMIT: Schema = Object(
    &[
        ("average", Integer),
        ("period", Duration),
        ("burst", Integer),
        ("sourcecriterion", SOURCE_CRITERION),
        ("redis", Free),
    ],
    Refused,
);

const AUTH: Schema = Object(
    &[("users", Text), ("usersfile", Text), ("realm", Text), ("removeheader", Boolean), ("headerfield", Text)],
    Refused,
);

const FORWARD_AUTH: Schema = Object(
    &[
        ("address", Text),
        ("trustforwardheader", Boolean),
        ("authresponseheaders", Text),
        ("authresponseheadersregex", Text),
        ("authrequestheaders", Text),
        ("addauthcookiestoresponse", Text),
        ("headerfield", Text),
        ("forwardbody", Boolean),
        ("maxbodysize", Integer),
        ("maxresponsebodysize", Integer),
        ("preservelocationheader", Boolean),
        ("preserverequestmethod", Boolean),
        ("authsigninurl", Text),
        ("tls", Object(&[("ca", Text), ("cert", Text), ("key", Text), ("insecureskipverify", Boolean)], Refused)),
    ],
    Refused,
);

const CERT_INFO: Schema = Object(
    &[
        ("notafter", Boolean),
        ("notbefore", Boolean),
        ("sans", Boolean),
        ("serialnumber", Boolean),
        ("subject", DISTINGUISHED_NAME),
        ("issuer", DISTINGUISHED_NAME),
    ],
    Refused,
);

const DISTINGUISHED_NAME: Schema = Object(
    &[
        ("country", Boolean),
        ("province", Boolean),
        ("locality", Boolean),
        ("organization", Boolean),
        ("organizationalunit", Boolean),
        ("commonname", Boolean),
        ("serialnumber", Boolean),
        ("domaincomponent", Boolean),
    ],
    Refused,
);

const ENCODED_CHARACTERS: Schema = Object(
    &[
        ("allowencodedslash", Boolean),
        ("allowencodedbackslash", Boolean),
        ("allowencodednullcharacter", Boolean),
        ("allowencodedsemicolon", Boolean),
        ("allowencodedpercent", Boolean),
        ("allowencodedquestionmark", Boolean),
        ("allowencodedhash", Boolean),
    ],
    Refused,
);

const HEADERS: Schema = Object(
    &[
        ("customrequestheaders", Map(&Text)),
        ("customresponseheaders", Map(&Text)),
        ("accesscontrolallowcredentials", Boolean),
        ("accesscontrolallowheaders", Text),
        ("accesscontrolallowmethods", Text),
        ("accesscontrolalloworiginlist", Text),
        ("accesscontrolalloworiginlistregex", Text),
        ("accesscontrolexposeheaders", Text),
        ("accesscontrolmaxage", Integer),
        ("addvaryheader", Boolean),
        ("allowedhosts", Text),
        ("hostsproxyheaders", Text),
        ("sslproxyheaders", Map(&Text)),
        ("stsseconds", Integer),
        ("stsincludesubdomains", Boolean),
        ("stspreload", Boolean),
        ("forcestsheader", Boolean),
        ("framedeny", Boolean),
        ("customframeoptionsvalue", Text),
        ("contenttypenosniff", Boolean),
        ("browserxssfilter", Boolean),
        ("custombrowserxssvalue", Text),
        ("contentsecuritypolicy", Text),
        ("contentsecuritypolicyreportonly", Text),
        ("publickey", Text),
        ("referrerpolicy", Text),
        ("permissionspolicy", Text),
        ("isdevelopment", Boolean),
        ("sslredirect", Boolean),
        ("ssltemporaryredirect", Boolean),
        ("sslhost", Text),
        ("sslforcehost", Boolean),
        ("featurepolicy", Text),
    ],
    Refused,
);
