//! Volumes of CSI drivers.

use kogge_machinery::object_meta::subdomain_messages;

use super::{
    super::{
        field::{Errors, Field},
        text::{label, subdomain},
    },
    Source, need,
};

/// The name of a CSI driver.
pub(in crate::builtin::validation) fn driver_name(field: &Field<'_>, errors: &mut Errors) {
    if field.is_empty() {
        errors.required(field, "");
        return;
    }
    if field.text().len() > 63 {
        errors.too_long(field, 63);
    }
    errors.messages(field, subdomain_messages(&field.text().to_lowercase(), 253));
}

/// Of a pod.
pub(super) fn of_pod(source: &Field<'_>, _: &Source<'_>, errors: &mut Errors) {
    driver_name(&source.at("driver"), errors);
    let reference = source.at("nodePublishSecretRef");
    if reference.is_set() {
        let name = reference.at("name");
        if name.is_empty() {
            errors.required(&name, "");
        } else {
            subdomain(&name.reported_at(source, "name"), errors);
        }
    }
}

/// Of a PersistentVolume.
pub(super) fn persistent(source: &Field<'_>, _: &Source<'_>, errors: &mut Errors) {
    driver_name(&source.at("driver"), errors);
    need(source, &["volumeHandle"], errors);
    for reference in
        ["controllerPublishSecretRef", "controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef"]
    {
        let reference = source.at(reference);
        if reference.is_set() {
            need(&reference, &["name"], errors);
            if !reference.at("name").is_empty() {
                subdomain(&reference.at("name"), errors);
            }
            need(&reference, &["namespace"], errors);
            if !reference.at("namespace").is_empty() {
                label(&reference.at("namespace"), errors);
            }
        }
    }
}
