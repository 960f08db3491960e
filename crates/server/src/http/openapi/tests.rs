//! The document knows the routes of the router, and the router those of the document.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

type Methods = BTreeMap<String, BTreeSet<String>>;

/// Routes and methods as the router's own page has them.
fn of_the_router() -> Methods {
    let page = include_str!("../../http.rs");
    let lines = page.lines().filter_map(|line| line.trim().strip_prefix(".route(\"")?.split_once('"'));
    let mut routes = Methods::new();
    for (path, rest) in lines {
        let verbs = ["get", "post", "put", "patch", "delete"].into_iter();
        let found = verbs.filter(|verb| {
            rest.match_indices(&format!("{verb}(")).any(|(at, _)| {
                let before = rest[..at].chars().next_back();
                before.is_none_or(|sign| !sign.is_alphanumeric() && sign != '_' && sign != ':')
            })
        });
        routes.entry(path.to_owned()).or_default().extend(found.map(str::to_owned));
    }
    routes
}

fn of_the_document() -> Methods {
    let methods = |item: &Value| item.as_object().unwrap().keys().cloned().collect();
    let paths = document()["paths"].as_object().unwrap();
    paths.iter().map(|(path, item)| (path.clone(), methods(item))).collect()
}

#[test]
fn every_route_is_in_the_document_and_the_other_way_round() {
    let router = of_the_router();
    assert!(router.len() > 10 && router["/api/threads"].contains("post"), "{router:?}");
    assert_eq!(of_the_document(), router);
}

#[test]
fn every_route_has_its_line_in_the_table_of_permissions() {
    for route in ROUTES {
        assert!(table::of_route(route.method, route.path).is_some(), "{} {}", route.method, route.path);
    }
    let documented = of_the_document();
    for (method, path, _) in table::ROUTES {
        let known =
            documented.get(*path).is_some_and(|methods| methods.contains(&method.to_ascii_lowercase()));
        assert!(known, "{method} {path} is not in the document");
    }
}

#[test]
fn ids_are_unique_and_every_reference_leads_somewhere() {
    let ids: BTreeSet<_> = ROUTES.iter().map(|route| route.id).collect();
    assert_eq!(ids.len(), ROUTES.len());
    let mut parts = vec![document()];
    while let Some(part) = parts.pop() {
        if let Some(target) = part.get("$ref").and_then(Value::as_str) {
            let found = document().pointer(target.strip_prefix('#').unwrap());
            assert!(found.is_some_and(|found| *found != json!(false)), "{target}");
        }
        match part {
            Value::Object(fields) => parts.extend(fields.values()),
            Value::Array(entries) => parts.extend(entries),
            _ => {}
        }
    }
}
