//! A router of one's own: every service with the tag `public` is reached under `/NAME/`, without the name.

use sluice_plugin_sdk::router::{
    Action, Balancer, Contribution, Observability, PathMatch, PathView, Route, Router, Rule, RuleNode, Scheme, Service,
    ServiceSpec, Step, Target, Transport,
};

#[derive(Default)]
struct PathRouter;

impl Router for PathRouter {
    fn configure(&mut self, _: u32, _: &str) -> Result<(), String> {
        Ok(())
    }

    fn contribute(&mut self, _: u32, service: Service) -> Contribution {
        let Service { name, instances } = service;
        let public = instances.into_iter().filter(|instance| instance.tags.iter().any(|tag| tag == "public"));
        let targets: Vec<_> = public.map(|instance| target(instance.id, instance.address, instance.port)).collect();
        if targets.is_empty() {
            return Contribution::default();
        }
        let (prefix, strip) = (format!("/{name}/"), format!("{name}-strip"));
        let path = PathMatch { pattern: prefix.clone(), view: PathView::Routing };
        Contribution {
            routes: vec![Route {
                rule: Rule { text: format!("under {prefix}"), nodes: vec![RuleNode::PathPrefix(path)], root: 0 },
                priority: i64::try_from(prefix.len()).unwrap_or(i64::MAX),
                entrypoints: Vec::new(),
                transport: Transport::Any,
                tls_options: String::new(),
                observability: Observability::default(),
                steps: vec![strip.clone()],
                service: name.clone(),
                name: name.clone(),
            }],
            services: vec![ServiceSpec::balanced(name.clone(), Balancer { targets, ..Balancer::default() })],
            steps: vec![Step { name: strip, action: Action::StripPrefix(vec![format!("/{name}")]) }],
            ..Contribution::default()
        }
    }
}

fn target(instance: String, address: String, port: u16) -> Target {
    Target { instance, scheme: Scheme::Http, address, port, path: String::new(), weight: 1 }
}

sluice_plugin_sdk::export_router!(PathRouter);

#[cfg(test)]
mod tests {
    use super::*;
    use sluice_plugin_sdk::router::{Health, Instance};

    fn service(tags: &[&str]) -> Service {
        let instance = |(id, tag): (usize, &&str)| Instance {
            id: format!("i{id}"),
            node: String::new(),
            address: "10.0.0.1".to_owned(),
            port: 80,
            tags: vec![(*tag).to_owned()],
            health: Health::Passing,
        };
        Service { name: "shop".to_owned(), instances: tags.iter().enumerate().map(instance).collect() }
    }

    #[test]
    fn only_public_instances_are_reached() {
        let found = PathRouter.contribute(0, service(&["public", "inner"]));
        assert_eq!(found.routes.len(), 1);
        assert_eq!(found.services.iter().map(|service| service.targets().len()).collect::<Vec<_>>(), [1]);
        assert!(PathRouter.contribute(0, service(&["inner"])).routes.is_empty());
    }
}
