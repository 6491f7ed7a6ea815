//! Turns plans into services: every option becomes its filter or handler, and all errors are collected. Runs
//! on the core that the service is for; a check needs no core.

use std::rc::Rc;
use std::sync::Arc;

use super::assemble::{PartFactory, place_of, router, site_router, unrouted};
use super::error::{PlanError, PlanErrors, PlanMistake};
use super::options::{FilterOptions, HandlerOptions};
use super::secrets::Secret;
use super::service::{PlanService, Unbuilt};
use super::{Plan, Site};
#[cfg(feature = "auth")]
use crate::filter::BasicAuth;
#[cfg(feature = "compress")]
use crate::filter::Compress;
use crate::filter::{Cors, ErrorPages, Fields, Hsts, HttpsRedirect, RequestIds, SecurityHeaders, Timeout};
use crate::handler::{Fixed, Mounts, Proxy, welcome};
use crate::observe::meters::{RouteLabel, RouteMeter};
use crate::service::router::{RouteError, check_host};
use crate::service::{AnyService, Around, ChainLink, CoreContext, Filter, RouteLife, Service};

impl Plan {
    /// Builds the service of one core, on that core: opens directories, reads error pages and user files.
    /// Blocking, for milliseconds on local disks.
    ///
    /// # Errors
    /// Every error.
    pub fn build(&self, core: &CoreContext) -> Result<PlanService, PlanErrors> {
        self.secrets().iter().for_each(|secret| core.ring.keep_back(&secret.path));
        self.kept_back.0.iter().for_each(|path| core.ring.keep_back(path));
        let mut builder = ServiceBuilder {
            core: Some(core),
            reads: true,
            errors: self.mistakes_of_routes(),
            lives: Vec::new(),
        };
        let lone = self.lone_handler();
        let meter = lone.and_then(|_| builder.meter(None, unrouted(&self.default_site).to_owned()));
        let service = match lone {
            Some(HandlerOptions::Files(directory)) => builder
                .kept("", directory.open(&core.ring).map_err(one))
                .map(|files| PlanService::files(Mounts::new(files, Vec::new()))),
            Some(HandlerOptions::Mounts(mounts)) => {
                builder.kept("", mounts.open(&core.ring).map_err(all)).map(PlanService::files)
            }
            Some(handler) => Some(PlanService::direct(builder.handler("", handler))),
            None => {
                let router = router(self, &mut builder);
                match router.build() {
                    Ok(routes) => Some(PlanService::routes(routes, std::mem::take(&mut builder.lives))),
                    // Already found, with their places.
                    Err(_) if !builder.errors.is_empty() => None,
                    Err(found) => {
                        builder.errors.extend(found.iter().map(|error| route_mistake("", error)));
                        None
                    }
                }
            }
        };
        match service {
            Some(service) if builder.errors.is_empty() => Ok(service.measured(meter)),
            _ => Err(PlanErrors(builder.errors)),
        }
    }

    /// Finds the errors that can be found without a core and without calling custom parts. Accesses
    /// directories and files.
    ///
    /// # Errors
    /// Every error found.
    pub fn check(&self) -> Result<(), PlanErrors> {
        self.check_beside(&[])
    }

    /// As [`check`](Self::check), for a server that has these secrets beside those of the plan: none of its
    /// directories may serve one.
    ///
    /// # Errors
    /// Every error found.
    pub fn check_beside(&self, secrets: &[Secret]) -> Result<(), PlanErrors> {
        let mut builder =
            ServiceBuilder { core: None, reads: true, errors: self.mistakes_of_routes(), lives: Vec::new() };
        drop(router(self, &mut builder));
        let exposed = self.exposed(secrets).into_iter();
        builder.errors.extend(
            exposed.map(|(place, found)| PlanError {
                place,
                mistake: PlanMistake::ExposedSecret(Box::new(found)),
            }),
        );
        if builder.errors.is_empty() { Ok(()) } else { Err(PlanErrors(builder.errors)) }
    }

    /// As [`check`](Self::check), without accessing directories and files: what is wrong on every machine.
    ///
    /// # Errors
    /// Every error found.
    pub fn check_alone(&self) -> Result<(), PlanErrors> {
        let mut builder =
            ServiceBuilder { core: None, reads: false, errors: self.mistakes_of_routes(), lives: Vec::new() };
        drop(router(self, &mut builder));
        if builder.errors.is_empty() { Ok(()) } else { Err(PlanErrors(builder.errors)) }
    }

    /// How errors name the site of this host, or the default one.
    #[cfg(feature = "config")]
    pub(crate) fn place_of_site(&self, host: Option<&str>) -> String {
        place_of(self, host)
    }

    /// The handler, if it needs no router and has no filters: requests are then passed to it directly.
    fn lone_handler(&self) -> Option<&HandlerOptions> {
        match self {
            Self { default_site: Site { filters, routes, fallback, body_policy: None }, sites, .. }
                if sites.is_empty() && filters.is_empty() && routes.is_empty() =>
            {
                fallback.as_ref()
            }
            _ => None,
        }
    }
}

impl Plan {
    /// Errors in hosts, patterns and methods, independent of handlers.
    pub(super) fn mistakes_of_routes(&self) -> Vec<PlanError> {
        let plan = self;
        let mut errors = Vec::new();
        let mut known: Vec<String> = Vec::new();
        for (host, _) in &plan.sites {
            let place = place_of(plan, Some(host));
            let lower = host.to_ascii_lowercase();
            if let Err(error) = check_host(host) {
                errors.push(PlanError { place, mistake: PlanMistake::Host(error) });
            } else if known.contains(&lower) {
                errors.push(PlanError { place, mistake: PlanMistake::SameHost });
            }
            known.push(lower);
        }
        let named = plan.sites.iter().map(|(host, site)| (Some(&**host), site));
        for (host, site) in std::iter::once((None, &plan.default_site)).chain(named) {
            let place = place_of(plan, host);
            if let Err(found) = site_router(&place, host, site, &mut Unbuilt).build() {
                errors.extend(found.iter().map(|error| route_mistake(&place, error)));
            }
        }
        errors
    }
}

/// An error that the router found in a site.
fn route_mistake(site: &str, error: &RouteError) -> PlanError {
    let comma = if site.is_empty() { "" } else { ", " };
    PlanError { place: format!("{site}{comma}route {}", error.route), mistake: (&error.mistake).into() }
}

/// Creates parts on a core, or only checks whether they can be created. A failed part is replaced by one that
/// is never called, because errors end the build.
struct ServiceBuilder<'a> {
    core: Option<&'a CoreContext>,
    /// Whether a check reads files.
    reads: bool,
    errors: Vec<PlanError>,
    lives: Vec<(String, RouteLife)>,
}

type Built<T> = Result<T, Vec<PlanMistake>>;

fn one(mistake: impl Into<PlanMistake>) -> Vec<PlanMistake> {
    vec![mistake.into()]
}

fn all<M: Into<PlanMistake>>(mistakes: Vec<M>) -> Vec<PlanMistake> {
    mistakes.into_iter().map(Into::into).collect()
}

fn filter(filter: impl Filter) -> Vec<ChainLink> {
    vec![ChainLink::Filter(Rc::new(filter))]
}

fn around(around: impl Around) -> Vec<ChainLink> {
    vec![ChainLink::Around(Rc::new(around))]
}

fn service(service: impl Service) -> Rc<dyn AnyService> {
    Rc::new(service)
}

impl ServiceBuilder<'_> {
    /// The value, or `None` after its errors were recorded.
    fn kept<T>(&mut self, place: &str, built: Built<T>) -> Option<T> {
        let noted = |mistake| PlanError { place: place.to_owned(), mistake };
        built.map_err(|mistakes| self.errors.extend(mistakes.into_iter().map(noted))).ok()
    }

    fn steps(&self, options: &FilterOptions) -> Built<Vec<ChainLink>> {
        Ok(match options {
            FilterOptions::AcmeChallenges(challenges) => filter(challenges.clone()),
            FilterOptions::Https(https) => {
                let hsts = https.hsts.as_ref().map(|hsts| filter(Hsts::with_options(hsts)));
                let redirect = https.redirect_to_port.map(|port| filter(HttpsRedirect::to_port(port)));
                hsts.into_iter().chain(redirect).flatten().collect()
            }
            FilterOptions::RequestId(options) => filter(RequestIds::with_options(options)),
            FilterOptions::Fields(options) => filter(Fields::with_options(options).map_err(one)?),
            FilterOptions::SecurityHeaders(options) => {
                filter(SecurityHeaders::with_options(options).map_err(one)?)
            }
            FilterOptions::Cors(options) => filter(Cors::with_options(options.clone()).map_err(one)?),
            #[cfg(feature = "compress")]
            FilterOptions::Compress(options) => filter(Compress::with_options(options.clone())),
            FilterOptions::ErrorPages(_) if !self.reads => Vec::new(),
            FilterOptions::ErrorPages(options) => filter(ErrorPages::with_options(options).map_err(all)?),
            #[cfg(feature = "auth")]
            FilterOptions::BasicAuth(_) if !self.reads => Vec::new(),
            #[cfg(feature = "auth")]
            FilterOptions::BasicAuth(options) => match self.core {
                None => options.check().map(|()| Vec::new()).map_err(one)?,
                Some(core) => {
                    let auth = BasicAuth::with_options(&core.ring, options).map_err(one)?;
                    // One core reports for all.
                    around(if core.worker == 0 { auth } else { auth.silent() })
                }
            },
            FilterOptions::Timeout(options) => match self.core {
                None => Vec::new(),
                Some(core) => around(Timeout::with_options(core.ring.clone(), *options)),
            },
            FilterOptions::Custom(custom) => match self.core {
                None => Vec::new(),
                Some(core) => {
                    let name = || custom.name().to_owned();
                    let made = custom.make(core);
                    vec![made.map_err(|source| vec![PlanMistake::Custom { name: name(), source }])?]
                }
            },
        })
    }

    fn service(&self, options: &HandlerOptions) -> Built<Rc<dyn AnyService>> {
        Ok(match (options, self.core) {
            (HandlerOptions::Files(directory), None) if !self.reads => {
                directory.check_options().map(|()| service(Unbuilt)).map_err(one)?
            }
            (HandlerOptions::Mounts(mounts), None) if !self.reads => {
                let wrong: Vec<_> = mounts.directories().filter_map(|d| d.check_options().err()).collect();
                if wrong.is_empty() { service(Unbuilt) } else { return Err(all(wrong)) }
            }
            (HandlerOptions::Files(directory), None) => {
                directory.check().map(|()| service(Unbuilt)).map_err(one)?
            }
            (HandlerOptions::Files(directory), Some(core)) => {
                service(directory.open(&core.ring).map_err(one)?)
            }
            (HandlerOptions::Mounts(mounts), None) => {
                let missing = mounts.directories().filter_map(|directory| directory.check().err());
                match missing.collect::<Vec<_>>() {
                    missing if missing.is_empty() => service(Unbuilt),
                    missing => return Err(all(missing)),
                }
            }
            (HandlerOptions::Mounts(mounts), Some(core)) => service(mounts.open(&core.ring).map_err(all)?),
            (HandlerOptions::Welcome, _) => service(welcome),
            (HandlerOptions::Respond(options), _) => service(Fixed::respond(options).map_err(one)?),
            (HandlerOptions::Redirect(options), _) => service(Fixed::redirect(options).map_err(one)?),
            (HandlerOptions::Proxy(options), None) => {
                let checked = if self.reads { options.check() } else { options.check_alone() };
                checked.map(|()| service(Unbuilt)).map_err(all)?
            }
            (HandlerOptions::Proxy(options), Some(core)) => {
                service(Proxy::with_options(options, core).map_err(all)?)
            }
            (HandlerOptions::Custom(_), None) => service(Unbuilt),
            (HandlerOptions::Custom(custom), Some(core)) => {
                let name = || custom.name().to_owned();
                custom.make(core).map_err(|source| vec![PlanMistake::Custom { name: name(), source }])?
            }
        })
    }
}

impl PartFactory for ServiceBuilder<'_> {
    fn filter(&mut self, place: &str, options: &FilterOptions) -> Vec<ChainLink> {
        let steps = self.steps(options);
        self.kept(place, steps).unwrap_or_default()
    }

    fn handler(&mut self, place: &str, options: &HandlerOptions) -> Rc<dyn AnyService> {
        let made = self.service(options);
        self.kept(place, made).unwrap_or_else(|| service(Unbuilt))
    }

    fn meter(&mut self, site: Option<&str>, route: String) -> Option<Arc<RouteMeter>> {
        let meters = self.core.and_then(|core| core.meters.as_ref())?;
        Some(meters.route(RouteLabel { site: site.unwrap_or("default").to_owned(), route }))
    }

    fn life(&mut self, place: String) -> Option<RouteLife> {
        let life = self.core.map(|_| RouteLife::default());
        self.lives.extend(life.clone().map(|life| (place, life)));
        life
    }
}
