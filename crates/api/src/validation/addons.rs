//! Rules on add-ons, registries and trust.

use super::provider::capability_missing;
use super::{FieldPath, FieldProblem, Review, did_you_mean, duplicates, list};
use crate::problem::ProblemCode::{CapabilityMissing, InvalidDescription};

pub(super) fn check(review: &mut Review<'_>) {
    let spec = FieldPath::root().child("spec");
    implied(review, &spec.child("addons"));
    harbor(review, &spec.child("addons").child("harbor"));
    offered(review, &spec.child("addons"));
    registries(review, &spec.child("registries").child("mirrors"));
}

/// What Harbor needs must not be turned off.
fn implied(review: &mut Review<'_>, path: &FieldPath) {
    let addons = &review.description.spec.addons;
    let published = addons.harbor.is_published();
    let needs = [
        ("flux", addons.flux.enabled, addons.harbor.enabled, "addons.harbor needs Flux"),
        ("certManager", addons.cert_manager.enabled, published, "addons.harbor.domain needs cert-manager"),
        ("ingress", addons.ingress.enabled, published, "addons.harbor.domain needs an ingress controller"),
    ];
    for (name, explicit, needed, reason) in needs {
        if needed && explicit == Some(false) {
            review.add(
                FieldProblem::new(
                    InvalidDescription,
                    &path.child(name).child("enabled"),
                    Some(false.into()),
                    reason,
                    format!("{reason}: remove addons.{name}.enabled or set it to true"),
                )
                .accepting("true"),
            );
        }
    }
}

fn harbor(review: &mut Review<'_>, path: &FieldPath) {
    let harbor = &review.description.spec.addons.harbor;
    if let Some(domain) = &harbor.domain
        && !(super::labels::is_domain(domain) && domain.contains('.'))
    {
        let message =
            format!("`{domain}` is not a fully qualified domain name in lowercase, such as registry.example.com");
        review.add(
            FieldProblem::new(
                InvalidDescription,
                &path.child("domain"),
                Some(domain.as_str().into()),
                "a fully qualified domain name",
                message,
            )
            .accepting("a name such as registry.example.com"),
        );
    }
    if let Some(email) = harbor.acme_email.as_ref().filter(|_| harbor.domain.is_none()) {
        review.add(
            FieldProblem::new(
                InvalidDescription,
                &path.child("acmeEmail"),
                Some(email.as_str().into()),
                "only with a domain",
                "acmeEmail has no use without addons.harbor.domain; add the domain or remove it".into(),
            )
            .accepting("a domain besides, or no acmeEmail"),
        );
    }
    let before = review.previous.map(|previous| &previous.spec.addons.harbor.sizes);
    let sizes = [
        ("database", &harbor.sizes.database, before.map(|sizes| &sizes.database)),
        ("redis", &harbor.sizes.redis, before.map(|sizes| &sizes.redis)),
        ("trivy", &harbor.sizes.trivy, before.map(|sizes| &sizes.trivy)),
    ];
    for (name, size, before) in sizes {
        let at = path.child("sizes").child(name);
        match (quantity(size), before.and_then(|before| quantity(before))) {
            (None | Some(0), _) => review.add(
                FieldProblem::new(
                    InvalidDescription,
                    &at,
                    Some(size.as_str().into()),
                    "a quantity above zero",
                    format!("`{size}` is not a size, such as 5Gi"),
                )
                .accepting("a quantity such as 5Gi"),
            ),
            (Some(new), Some(old)) if new < old => {
                let old = before.cloned().unwrap_or_default();
                review.add(
                    FieldProblem::new(
                        InvalidDescription,
                        &at,
                        Some(size.as_str().into()),
                        "volumes only grow",
                        format!("the volume has {old}; it cannot shrink to {size}"),
                    )
                    .accepting(format!("{old} or more")),
                );
            }
            _ => {}
        }
    }
    if harbor.enabled && review.profile.is_some_and(|profile| !profile.spec.capabilities.object_store) {
        let problem =
            capability_missing(review, &path.child("enabled"), "objectStore", "an object store, which Harbor needs")
                .accepting("false");
        review.add(problem);
    }
}

/// A quantity of Kubernetes in thousandths: `5Gi`, `1500M`, `0.5Gi`, `1e3`.
pub(super) fn quantity(text: &str) -> Option<u128> {
    const SUFFIXES: [(&str, u128); 16] = [
        ("Ki", 1 << 10),
        ("Mi", 1 << 20),
        ("Gi", 1 << 30),
        ("Ti", 1 << 40),
        ("Pi", 1 << 50),
        ("Ei", 1 << 60),
        ("k", 1_000),
        ("M", 1_000_000),
        ("G", 1_000_000_000),
        ("T", 1_000_000_000_000),
        ("P", 1_000_000_000_000_000),
        ("E", 1_000_000_000_000_000_000),
        ("e3", 1_000),
        ("e6", 1_000_000),
        ("e9", 1_000_000_000),
        ("", 1),
    ];
    let (number, factor) = SUFFIXES.iter().find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)))?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.len() <= 15 && text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && fraction.is_empty()) || !digits(whole) || !digits(fraction) {
        return None;
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let scale = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let fraction: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    Some(whole * factor * 1000 + fraction * factor * 1000 / scale)
}

/// Add-ons exist where the profile lists them, and need what they are built on.
fn offered(review: &mut Review<'_>, path: &FieldPath) {
    let Some(profile) = review.profile else { return };
    let has = &profile.spec.capabilities;
    for addon in review.description.spec.addons.all().into_iter().filter(|addon| addon.enabled) {
        let at = path.child(addon.name).child("enabled");
        if let Some(known) = &has.addons
            && !known.iter().any(|name| name == addon.name)
        {
            // metrics-server runs by default; where the provider has none, that alone must not refuse a description.
            if addon.name == "metricsServer" {
                continue;
            }
            let message = format!(
                "add-on {} is not offered by profile `{}`; offered: {}",
                addon.name,
                review.profile_name(),
                list(known)
            );
            review.add(
                FieldProblem::new(CapabilityMissing, &at, Some(true.into()), "an add-on of the profile", message)
                    .accepting("false"),
            );
            continue;
        }
        let needs = match addon.name {
            "ingress" if !has.load_balancer => Some(("loadBalancer", "load balancers, which ingress needs")),
            "gatewayAPI" if !has.gateway_api => Some(("gatewayAPI", "the Gateway API")),
            _ => None,
        };
        if let Some((capability, what)) = needs {
            let problem = capability_missing(review, &at, capability, what).accepting("false");
            review.add(problem);
        }
    }
}

fn registries(review: &mut Review<'_>, path: &FieldPath) {
    let mirrors = &review.description.spec.registries.mirrors;
    for (position, first) in duplicates(mirrors.iter().map(|mirror| mirror.upstream.as_str())) {
        let upstream = &mirrors[position].upstream;
        review.add(
            FieldProblem::new(
                InvalidDescription,
                &path.index(position).child("upstream"),
                Some(upstream.as_str().into()),
                "each registry once",
                format!("registry `{upstream}` is already that of mirrors[{first}]; put all its endpoints there"),
            )
            .accepting("each registry once"),
        );
    }
    for (position, mirror) in mirrors.iter().enumerate() {
        let at = path.index(position);
        if mirror.upstream.contains("://") {
            let bare = mirror.upstream.split("://").nth(1).unwrap_or_default().trim_end_matches('/').to_owned();
            let message = format!("`{}` is an address; write the host alone, {bare}", mirror.upstream);
            review.add(
                FieldProblem::new(
                    InvalidDescription,
                    &at.child("upstream"),
                    Some(mirror.upstream.as_str().into()),
                    "a host, with a port if needed",
                    message,
                )
                .accepting(bare),
            );
        }
        for (number, endpoint) in mirror.endpoints.iter().enumerate() {
            let at = at.child("endpoints").index(number).child("url");
            if endpoint.url.starts_with("http://") {
                if review.profile.is_some_and(|profile| !profile.spec.capabilities.insecure_registries) {
                    let problem = capability_missing(review, &at, "insecureRegistries", "registries without TLS")
                        .accepting("https://HOST");
                    review.add(problem);
                }
            } else if !endpoint.url.starts_with("https://") {
                let message =
                    format!("`{}` is not the address of a mirror{}", endpoint.url, did_you_mean(&endpoint.url, []));
                review.add(
                    FieldProblem::new(
                        InvalidDescription,
                        &at,
                        Some(endpoint.url.as_str().into()),
                        "https://HOST",
                        format!("{message}; write https://HOST"),
                    )
                    .accepting("https://HOST"),
                );
            }
        }
    }
}
