//! A plan is written as a file that gives the same plan.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use quoit::Limits;
use quoit::config::{Config, Depth, Environment, Settings, Unwritable};
use quoit::filter::{
    BasicAuthOptions, CompressOptions, CorsOptions, ErrorPagesOptions, FieldsOptions, HttpsOptions,
    PageSource, RequestIdOptions, SecurityHeadersOptions, TimeoutOptions,
};
use quoit::handler::{
    Assets, CacheRule, DirectoryOptions, FilesOptions, ForwardedForm, ForwardedOptions, Glob, HostPolicy,
    MountsOptions, Network, PreloadRule, ProxyOptions, RedirectOptions, RespondOptions,
};
use quoit::http::status::Status;
use quoit::plan::{FilterOptions, HandlerOptions, Listener, Plan, Route, Site};
use quoit::service::router::{ConditionPart, ConditionTest};
use quoit::service::{BodyPolicy, Condition, Request, Response};
use quoit::upstream::{
    Balance, BreakerOptions, CheckKind, CheckOptions, EjectionOptions, EndpointOptions, HashKey,
    RetryOptions, StickyOptions, StickySecret, UpstreamOptions, UpstreamProtocol, UpstreamTls,
};

fn text() -> impl Strategy<Value = String> {
    select(vec!["plain", "with \"quotes\" and \\", "$5, $$ and ${X}", "é\t…", "'#'", "a=b; c", ""])
        .prop_map(String::from)
}

fn word() -> impl Strategy<Value = String> {
    "[a-z]{1,8}"
}

fn time() -> impl Strategy<Value = Duration> {
    (1u64..7 * 24 * 3600 * 1000).prop_map(Duration::from_millis)
}

fn status(codes: &'static [u16]) -> impl Strategy<Value = Status> {
    select(codes).prop_map(|code| Status::new(code).unwrap())
}

fn fields() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = select(vec!["X-A", "x-a", "X-B", "Set-Cookie", "Content-Type"]).prop_map(String::from);
    let value =
        select(vec!["a", "b c", "text/plain; charset=utf-8", "\"q\" $x ${Y}", "é"]).prop_map(String::from);
    prop::collection::vec((name, value), 0..4)
}

fn files() -> impl Strategy<Value = FilesOptions> {
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    let sizes = (0u64..1 << 40, 0u64..1 << 40);
    let assets =
        prop_oneof![Just(Assets::default()), Just(Assets::off()), (0u64..1 << 40).prop_map(Assets::new),];
    let glob = select(vec!["*.css", "a b/**", "\"?", "$x"]).prop_map(Glob::new);
    let directives =
        select(vec!["no-store", "public, max-age=3600", "x=\"$5, ${X} and 'é'\"", "\tprivate", ""]);
    let cache =
        prop::collection::vec((glob.clone(), directives.prop_map(String::from)), 0..2).prop_map(|rules| {
            rules.into_iter().map(|(glob, value)| CacheRule { glob, value }).collect::<Vec<_>>()
        });
    let preload = prop::collection::vec(
        (Just(Glob::new("*.html")), select(vec!["</a.css>; rel=preload", "</${x}>"])),
        0..3,
    )
    .prop_map(|rules| {
        rules.into_iter().map(|(glob, link)| PreloadRule { glob, link: link.to_owned() }).collect::<Vec<_>>()
    });
    let lists = (prop::collection::vec(word(), 1..3), cache, preload, prop::collection::vec(glob, 0..3));
    let prefix = select(vec!["", "/docs", "/my docs", "/${x}"]).prop_map(String::from);
    (flags, sizes, assets, lists, word(), prefix).prop_map(
        |(flags, sizes, assets, lists, charset, prefix)| {
            let (list, spa, clean_urls, follow_links, siblings) = flags;
            let (cache_bytes_max, cached_file_bytes_max) = sizes;
            let (mut index, mut cache_control, preload, download) = lists;
            index.dedup();
            // The first rule of a pattern decides, so a second one says nothing.
            cache_control.dedup_by(|second, first| second.glob == first.glob);
            FilesOptions {
                list,
                spa,
                clean_urls,
                follow_links,
                siblings,
                cache_bytes_max,
                cached_file_bytes_max,
                assets,
                index,
                cache_control,
                preload,
                download,
                charset,
                prefix,
            }
        },
    )
}

fn directory() -> impl Strategy<Value = DirectoryOptions> {
    let path = select(vec!["/srv/site", "/srv/a b", "/srv/${x}/$$", "/"]);
    (path, files()).prop_map(|(path, files)| DirectoryOptions { path: path.into(), files })
}

fn handler() -> impl Strategy<Value = HandlerOptions> {
    let respond = (status(&[200, 201, 404, 503]), fields(), text())
        .prop_map(|(status, fields, body)| RespondOptions { status, fields, body: body.into() });
    let redirect = (status(&[301, 302, 303, 307, 308]), text())
        .prop_map(|(status, location)| RedirectOptions { status, location });
    prop_oneof![
        directory().prop_map(HandlerOptions::Files),
        (directory(), prop::collection::btree_map(word(), directory(), 0..3)).prop_map(|(root, below)| {
            let below = below.into_iter().map(|(prefix, mut directory)| {
                directory.files.prefix = format!("/{prefix}");
                directory
            });
            HandlerOptions::Mounts(MountsOptions { root, below: below.collect() })
        }),
        Just(HandlerOptions::Welcome),
        respond.prop_map(HandlerOptions::Respond),
        text().prop_map(HandlerOptions::text),
        redirect.prop_map(HandlerOptions::Redirect),
        proxy(),
    ]
}

/// Upstreams have names of their own, which the test makes unique.
fn upstream() -> impl Strategy<Value = UpstreamOptions> {
    let address = select(vec![
        "a.test:80",
        "127.0.0.1:9001",
        "[::1]:9001",
        "unix:/run/a b.sock",
        "srv:_http._tcp.a.test",
    ]);
    let endpoint = (0u32..9, any::<bool>(), any::<bool>(), prop::option::of(word()));
    let endpoints = prop::collection::btree_map(address, endpoint, 1..4).prop_map(|endpoints| {
        let endpoints = endpoints.into_iter().map(|(address, (weight, backup, down, zone))| {
            EndpointOptions { weight, backup, down, zone, ..EndpointOptions::new(address.parse().unwrap()) }
        });
        endpoints.collect::<Vec<_>>()
    });
    let key = select(vec![
        HashKey::Path,
        HashKey::ClientAddress,
        HashKey::Header("X-Key".into()),
        HashKey::Cookie("c".into()),
    ]);
    let balance = prop_oneof![
        Just(Balance::PowerOfTwo),
        Just(Balance::RoundRobin),
        Just(Balance::LeastRequests),
        key.clone().prop_map(Balance::Hash),
        key.prop_map(Balance::Rendezvous),
    ];
    let protocol = select(vec![UpstreamProtocol::Auto, UpstreamProtocol::Http1, UpstreamProtocol::Http2]);
    let tls =
        (any::<bool>(), prop::option::of(word()), any::<bool>()).prop_map(|(verify, name, presents)| {
            UpstreamTls {
                ca: name.as_ref().map(|name| format!("/etc/{name}").into()),
                server_name: name,
                client_certificate: presents.then(|| ("/etc/c".into(), "/etc/k".into())),
                verify,
            }
        });
    let kind = prop_oneof![
        Just(CheckKind::Tcp),
        text().prop_map(|service| CheckKind::Grpc { service }),
        (prop::option::of(word()), prop::option::of(text()), 100u16..600).prop_map(|(host, body, status)| {
            CheckKind::Http {
                path: "/health?a=b".into(),
                host,
                statuses: vec![status..=599, 200..=200],
                body,
            }
        }),
    ];
    let checks =
        (kind, time(), 1u32..9, prop::option::of(1u16..)).prop_map(|(kind, interval, up_after, port)| {
            CheckOptions { kind, interval, up_after, port, ..CheckOptions::default() }
        });
    let ejection =
        (0u32..9, 0u32..100, 0.0..9.0f64, time()).prop_map(|(failures_in_a_row, percent_max, rate, time)| {
            EjectionOptions {
                failures_in_a_row,
                percent_max,
                failures: vec![500, 503],
                success_rate_deviations: rate,
                latency_factor: rate.round(),
                time,
                ..EjectionOptions::default()
            }
        });
    let breaker =
        (prop::option::of(1u32..), 0u32..100, time()).prop_map(|(in_flight_max, percent, window)| {
            BreakerOptions { in_flight_max, failure_percent: percent, window, ..BreakerOptions::default() }
        });
    let sticky = prop::option::of(time()).prop_map(|max_age| StickyOptions {
        cookie: "stay".into(),
        secret: StickySecret(STICKY.as_bytes().to_vec()),
        // Whole seconds or longer, as cookies have them.
        max_age: max_age.map(|age| age + Duration::from_secs(1)),
    });
    let retries = (1u32..9, 0u32..=100, 0usize..1 << 40);
    let rest = (
        prop::option::of(ejection),
        prop::option::of(breaker),
        prop::option::of(sticky),
        prop::option::of(time()),
        prop::option::of(word()),
        retries,
    );
    let first = (endpoints, balance, protocol, prop::option::of(tls), prop::option::of(checks), time());
    (first, rest, prop::option::of((1u32.., 0u32..99))).prop_map(|(first, rest, pool)| {
        let (endpoints, balance, protocol, tls, checks, connect) = first;
        let (ejection, breaker, sticky, slow_start, zone, (tries, budget_percent, body_bytes_max)) = rest;
        let mut options = UpstreamOptions {
            balance,
            protocol,
            tls,
            checks,
            breaker,
            sticky,
            slow_start,
            resolver: zone.as_ref().map(|_| "[::1]:53".parse().unwrap()),
            zone,
            ejection: ejection.unwrap_or_default(),
            ..UpstreamOptions::of("", endpoints)
        };
        options.timeouts.connect = connect;
        (options.timeouts.ping, options.timeouts.ping_answer) = (connect, connect);
        let hedge_after = slow_start;
        let retries =
            RetryOptions { tries, budget_percent, body_bytes_max, hedge_after, ..RetryOptions::default() };
        options.retries = retries;
        options.response_bytes_max = slow_start.map(|time| time.as_millis() as u64);
        options.response_limits.interim_max = tries as u8;
        if let Some((connections, queue)) = pool {
            // By HTTP/2 requests wait without a limit of connections, too.
            let is_limited = options.protocol != UpstreamProtocol::Http2 || tries > 1;
            options.pool.connections_max = is_limited.then_some(connections);
            options.pool.queue_max = queue;
            options.pool.warm = queue;
        }
        options
    })
}

const STICKY: &str = "0123456789 abcdef";

fn proxy() -> impl Strategy<Value = HandlerOptions> {
    let host = prop_oneof![
        Just(HostPolicy::Keep),
        Just(HostPolicy::Endpoint),
        Just(HostPolicy::Fixed("a.test:8080".into())),
    ];
    let form = select(vec![
        ForwardedForm::XForwarded,
        ForwardedForm::Forwarded,
        ForwardedForm::Both,
        ForwardedForm::None,
    ]);
    let prefixes = select(vec![(None, None), (Some("/api"), None), (Some("/a%20b"), Some("/c/d"))]);
    let via = select(vec![Some("quoit"), Some("edge"), None]);
    let forwarded = (form, any::<bool>()).prop_map(|(form, trusts)| ForwardedOptions {
        form,
        trusted: if trusts { vec!["10.0.0.0/8".parse().unwrap(), Network::Unix] } else { Vec::new() },
    });
    let upstreams = prop::collection::vec((1u32..99, upstream()), 1..3);
    (upstreams, host, prefixes, forwarded, via, any::<bool>()).prop_map(
        |(upstreams, host, (strip, add), forwarded, via, edits)| {
            let named = upstreams.into_iter().enumerate().map(|(index, (share, mut upstream))| {
                // Names say what is in them, so that equal names are equal upstreams.
                let digest = format!("{upstream:?}")
                    .bytes()
                    .fold(index as u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(byte)));
                upstream.name = format!("up {digest:x}");
                (share, Arc::new(upstream))
            });
            let upstreams: Vec<_> = named.collect();
            let edits = if edits { vec![("X-A", "b ${c}"), ("x-a", "d")] } else { Vec::new() };
            #[allow(clippy::needless_update, reason = "a field that is added is the default here")]
            let options = ProxyOptions {
                upstreams: upstreams.clone(),
                host,
                strip_prefix: strip.map(String::from),
                add_prefix: add.map(String::from),
                forwarded,
                via: via.map(String::from),
                remove_fields: edits.iter().map(|(name, _)| format!("{name}-old")).collect(),
                set_fields: edits.into_iter().map(|(name, value)| (name.into(), value.into())).collect(),
                ..ProxyOptions::to(upstreams[0].1.clone())
            };
            HandlerOptions::proxy(options)
        },
    )
}

fn filter() -> impl Strategy<Value = FilterOptions> {
    let list = || prop::option::of(select(vec!["GET, PUT", "GET,PUT", "*"]).prop_map(String::from));
    let origin = select(vec!["https://a.test", "http://b.test:8080"]).prop_map(String::from);
    let origins = prop::option::of(prop::collection::vec(origin, 1..3));
    let cors = (origins, any::<bool>(), list(), list(), list(), time()).prop_map(
        |(origins, credentials, methods, headers, exposed, max_age)| CorsOptions {
            // Without a list of origins they are refused.
            credentials: credentials && origins.is_some(),
            origins,
            methods,
            headers,
            exposed,
            max_age,
        },
    );
    let page = prop_oneof![
        word().prop_map(|name| PageSource::File(format!("/srv/{name}.html").into())),
        text().prop_map(|html| PageSource::Html(html.into())),
    ];
    let pages = prop::collection::btree_map(400u16..600, page, 0..4);
    prop_oneof![
        any::<bool>().prop_map(|keep_incoming| FilterOptions::RequestId(RequestIdOptions { keep_incoming })),
        fields().prop_map(|fields| FilterOptions::Fields(FieldsOptions { fields })),
        prop::option::of(text())
            .prop_map(|policy| FilterOptions::SecurityHeaders(SecurityHeadersOptions { policy })),
        cors.prop_map(FilterOptions::Cors),
        (any::<u32>(), any::<u32>()).prop_map(|(min, streams)| {
            let (min_bytes, streams_max) = (min as usize, streams as usize);
            FilterOptions::Compress(CompressOptions { min_bytes, streams_max })
        }),
        pages.prop_map(|pages| {
            let pages = pages.into_iter().map(|(code, page)| (Status::new(code).unwrap(), page)).collect();
            FilterOptions::ErrorPages(ErrorPagesOptions { pages })
        }),
        (word(), text()).prop_map(|(name, realm)| {
            let users = format!("/etc/{name}").into();
            FilterOptions::BasicAuth(BasicAuthOptions { users, realm })
        }),
        time().prop_map(|after| FilterOptions::Timeout(TimeoutOptions { after })),
        prop::option::of(1u16..).prop_map(|redirect_to_port| {
            FilterOptions::Https(HttpsOptions { redirect_to_port, hsts: None })
        }),
    ]
}

fn policy() -> impl Strategy<Value = Option<BodyPolicy>> {
    let policy = (prop::option::of(0u64..1 << 50), prop::option::of(time()), 0u64..1 << 50);
    prop::option::of(policy.prop_map(|(bytes_max, stall_timeout, rate_min)| BodyPolicy {
        bytes_max,
        stall_timeout,
        rate_min,
    }))
}

fn conditions() -> impl Strategy<Value = Vec<Condition>> {
    let test = || {
        prop_oneof![
            Just(ConditionTest::Present),
            Just(ConditionTest::Absent),
            prop::collection::vec(select(vec!["a", "\"q\" $x ${Y}", "é", "true"]), 1..3)
                .prop_map(|values| ConditionTest::OneOf(values.into_iter().map(String::from).collect())),
            Just(ConditionTest::Prefix("a ${b}".to_owned())),
        ]
    };
    let fields = prop::collection::btree_map(select(vec!["X-A", "X.b"]), test(), 0..2);
    let query = prop::collection::btree_map(select(vec!["v", "a b", "\"$"]), test(), 0..2);
    (fields, query).prop_map(|(fields, query)| {
        let of = |part| move |(name, test): (&str, _)| Condition { part, name: name.to_owned(), test };
        let fields = fields.into_iter().map(of(ConditionPart::Field));
        fields.chain(query.into_iter().map(of(ConditionPart::Query))).collect()
    })
}

fn site() -> impl Strategy<Value = Site> {
    let methods = select(vec![vec![], vec!["GET"], vec!["POST", "PURGE"]]);
    let parts = (methods, prop::collection::vec(filter(), 0..2), handler(), policy(), conditions());
    // Paths by which routes differ, and braces and dollars in them.
    let routes =
        prop::collection::btree_map(select(vec!["/", "/a b/{id}", "/$x/{*rest}", "/é"]), parts, 0..3);
    let routes =
        routes.prop_map(|routes| {
            let routes =
                routes.into_iter().map(|(pattern, (methods, filters, handler, body_policy, conditions))| {
                    Route { filters, body_policy, conditions, ..Route::new(methods, pattern, handler) }
                });
            routes.collect::<Vec<_>>()
        });
    (prop::collection::vec(filter(), 0..3), routes, prop::option::of(handler()), policy())
        .prop_map(|(filters, routes, fallback, body_policy)| Site { filters, routes, fallback, body_policy })
}

fn limits() -> impl Strategy<Value = Limits> {
    let times = (time(), time(), time(), time(), time());
    let numbers = (512u16..60 * 1024, 64u16..512, 1u8.., 1u32..65_535, 0u64..1 << 50);
    let options =
        (prop::option::of(time()), prop::option::of(1usize..1 << 30), prop::option::of(0u64..1 << 50));
    (times, numbers, options).prop_map(|(times, numbers, options)| {
        let mut limits = Limits::default();
        (
            limits.head_timeout,
            limits.idle_timeout,
            limits.drain_timeout,
            limits.stall_timeout,
            limits.drain_grace,
        ) = times;
        limits.h2.window_timeout = limits.stall_timeout;
        limits.set_head_bytes_max(numbers.0);
        limits.head.request_line_bytes_max = numbers.1;
        limits.head.fields_max = numbers.2;
        limits.h2.streams_max = numbers.3;
        limits.rate_min = numbers.4;
        (limits.connection_age_max, limits.connections_max, limits.body.body_bytes_max) = options;
        limits
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_as_the_same_plan(
        default_site in site(),
        sites in prop::collection::btree_map(select(vec!["a.test", "*.b.test", "c.test"]), site(), 0..3),
        limits in limits(),
        ports in prop::collection::btree_set(1u16.., 0..3),
        cpus in prop::option::of(prop::collection::btree_set(0usize..64, 1..4)),
    ) {
        let listener = |port| Listener { address: format!("0.0.0.0:{port}").parse().unwrap(), tls: None };
        let sites = sites.into_iter().map(|(host, site)| (host.to_owned(), site)).collect();
        let listeners = ports.into_iter().map(listener).collect();
        let plan = Plan { listeners, default_site, sites, ..Plan::default() };
        let cpus = cpus.map(|cpus| cpus.into_iter().collect());
        let settings = Settings { limits, cpus, workers: Some(2), ..Settings::default() };
        let text = Config::write(&plan, &settings, &[]).expect("it has a form");
        let environment = Environment::of([("QUOIT_STICKY_SECRET", STICKY)]);
        match Config::from_text("/etc/quoit.toml", &text, &environment, Depth::Structure) {
            Ok(config) => {
                prop_assert_eq!(&config.plan, &plan, "\n{}", text);
                prop_assert_eq!(&config.settings.limits, &settings.limits, "\n{}", text);
                prop_assert_eq!(&config.settings.cpus, &settings.cpus);
                prop_assert_eq!(config.to_text().unwrap(), text);
            }
            Err(error) => prop_assert!(false, "{}\n{}", error, text),
        }
    }
}

#[test]
fn what_is_written_in_rust_has_no_form() {
    let custom = HandlerOptions::custom("app", |_| {
        Ok::<_, std::convert::Infallible>(async |_: Request| Response::text("hi"))
    });
    let plan = Plan { default_site: Site::of(custom), ..Plan::default() };
    let written = Config::write(&plan, &Settings::default(), &[]);
    assert_eq!(written, Err(Unwritable::Custom("custom `app`".to_owned())));
    let binary =
        HandlerOptions::Respond(RespondOptions { body: vec![0xff].into(), ..RespondOptions::default() });
    let plan = Plan { default_site: Site::of(binary), ..Plan::default() };
    let written = Config::write(&plan, &Settings::default(), &[]);
    assert_eq!(written, Err(Unwritable::NotText("the body of a response".to_owned())));
}
