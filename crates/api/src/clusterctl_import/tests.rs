use super::*;
use crate::document_writer::to_yaml;
use crate::provider_profile::simulation;

const COMPLETE: &str = include_str!("../../../../examples/import/clusterctl.yaml");

const CLOUDS: &str = "clouds:\n  capi-shop:\n    auth_type: v3applicationcredential\n    region_name: elsewhere\n    auth:\n      application_credential_secret: canary\n";

fn run(clusterctl: &str, clouds: Option<&str>) -> Import {
    let profile = simulation();
    import(&ImportInput { clusterctl, clouds, name: "shop", profile: &profile }).unwrap()
}

fn findings(import: &Import) -> String {
    import.findings.iter().flat_map(|finding| [finding.to_string(), "\n".to_owned()]).collect()
}

#[test]
fn the_complete_parameter_set_becomes_a_description_and_findings() {
    let imported = run(COMPLETE, Some(CLOUDS));
    insta::assert_snapshot!("complete_description", to_yaml(&imported.cluster));
    insta::assert_snapshot!("complete_findings", findings(&imported));
}

#[test]
fn no_secret_of_the_clouds_file_goes_anywhere() {
    let imported = run(COMPLETE, Some(CLOUDS));
    assert!(!to_yaml(&imported.cluster).contains("canary"));
    assert!(!findings(&imported).contains("canary"));
}

#[test]
fn a_file_of_the_first_release_is_understood() {
    let imported = run(
        "KUBERNETES_VERSION: 1.34.x\nOPENSTACK_DNS_NAMESERVERS: 9.9.9.9\nCONTROL_PLANE_MACHINE_COUNT: 1\nWORKER_MACHINE_COUNT: 2\n\
         OPENSTACK_ANTIAFFINITY: false\nRESTRICT_KUBEAPI: \"[ none ]\"\nOPENSTACK_KEYPAIR_NAME: key\nDEPLOY_NGINX_INGRES: true\n",
        None,
    );
    insta::assert_snapshot!("first_release_description", to_yaml(&imported.cluster));
    insta::assert_snapshot!("first_release_findings", findings(&imported));
}

#[test]
fn what_is_no_parameter_file_is_refused() {
    let profile = simulation();
    let refused = |text: &str| {
        import(&ImportInput { clusterctl: text, clouds: None, name: "x", profile: &profile }).unwrap_err().to_string()
    };
    insta::assert_snapshot!(refused("a: 1\n"), @"this is no clusterctl.yaml: it has none of its parameters, such as KUBERNETES_VERSION");
    insta::assert_snapshot!(refused("- a\n"), @"line 1: a parameter file has one `KEY: value` a line; this is a list or a single value");
}
