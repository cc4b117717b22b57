use base64::{Engine as _, engine::general_purpose::STANDARD};
use kogge_machinery::status_error::FieldError;
use rcgen::{CertificateParams, DnType, DnType::CustomDnType, DnValue, KeyPair, PublicKeyData as _, SigningKey as _};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::{
    certificate::{BIT_STRING, SEQUENCE, element, signature_algorithm, time},
    validation::validate,
    *,
};
use crate::{authentication::ClientAuthorities, certificates::create_authority};

fn requested(common_name: &str, organizations: &[&str], names: &[&str]) -> String {
    let mut parameters =
        CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    for (organization, attribute) in
        organizations.iter().zip([DnType::OrganizationName, CustomDnType(vec![2, 5, 4, 10])])
    {
        parameters.distinguished_name.push(attribute, *organization);
    }
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    let pem = parameters.serialize_request(&KeyPair::generate().unwrap()).unwrap().pem().unwrap();
    STANDARD.encode(pem)
}

fn request(signer: &str, request: &str, usages: &[&str]) -> Value {
    json!({"metadata": {"name": "r"}, "spec": {"signerName": signer, "request": request, "usages": usages}})
}

#[test]
fn signers_of_kubernetes_keep_their_rules() {
    let node = |organizations: &[&str], name: &str, names: &[&str]| requested(name, organizations, names);
    let cases = [
        ("kube-apiserver-client", requested("anna", &["a", "b"], &[]), &["client auth"][..]),
        ("kube-apiserver-client", requested("anna", &[], &[]), &["server auth"]),
        ("kube-apiserver-client", requested("anna", &[], &[]), &["digital signature"]),
        (
            "kube-apiserver-client-kubelet",
            node(&["system:nodes"], "system:node:a", &[]),
            &["client auth", "digital signature"],
        ),
        (
            "kube-apiserver-client-kubelet",
            node(&["system:nodes"], "system:node:a", &["a.example"]),
            &["client auth", "digital signature"],
        ),
        (
            "kube-apiserver-client-kubelet",
            node(&["nodes"], "system:node:a", &[]),
            &["client auth", "digital signature"],
        ),
        ("kube-apiserver-client-kubelet", node(&["system:nodes"], "a", &[]), &["client auth", "digital signature"]),
        (
            "kubelet-serving",
            node(&["system:nodes"], "system:node:a", &["a.example", "10.0.0.1"]),
            &["server auth", "digital signature", "key encipherment"],
        ),
        ("kubelet-serving", node(&["system:nodes"], "system:node:a", &[]), &["server auth", "digital signature"]),
        ("kubelet-serving", node(&["system:nodes"], "system:node:a", &["a"]), &["client auth", "digital signature"]),
    ];
    let lines: Vec<String> = cases
        .iter()
        .map(|(signer, encoded, usages)| {
            let read = Request::of(&request(&format!("kubernetes.io/{signer}"), encoded, usages)).unwrap();
            format!("{signer} {:?} {usages:?}: {:?}", read.common_name(), read.check_signer_rules())
        })
        .collect();
    insta::assert_snapshot!(lines.join("\n"));
}

#[test]
fn a_signed_certificate_has_the_subject_names_and_key_of_its_request() {
    let now = jiff::Timestamp::now();
    let authority = create_authority("test", now.into()).unwrap();
    let authority = SigningAuthority { certificate_pem: authority.certificate_pem, key_pem: authority.key_pem };
    let encoded = requested("system:node:a", &["developers", "testers"], &["a.example", "10.0.0.1"]);
    let mut object = request("kubernetes.io/kubelet-serving", &encoded, &["server auth", "digital signature"]);
    object["spec"]["expirationSeconds"] = 3600.into();
    let read = Request::of(&object).unwrap();
    let pem = sign(&read, &authority, now).unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem.as_bytes()).unwrap();
    let certificate = pem.parse_x509().unwrap();
    assert_eq!(certificate.subject().to_string(), "O=testers + O=developers, CN=system:node:a");
    assert_eq!(certificate.issuer().to_string(), "CN=test");
    assert_eq!(certificate.public_key().raw, read.public_key);
    assert_eq!(certificate.subject_alternative_name().unwrap().unwrap().value.general_names.len(), 2);
    let validity = certificate.validity();
    assert_eq!(validity.not_after.timestamp() - validity.not_before.timestamp(), 3900);
    let purposes = certificate.extended_key_usage().unwrap().unwrap().value;
    assert!(purposes.server_auth && !purposes.client_auth);
    assert!(certificate.key_usage().unwrap().unwrap().value.digital_signature());
    assert!(!certificate.is_ca());
    let late = sign(&read, &authority, now + jiff::SignedDuration::from_hours(24 * 365 * 11)).unwrap_err();
    assert!(late.contains("the signer has expired"), "{late}");
}

/// Else a node could have a request approved for its own name and be somebody else with the certificate.
#[test]
fn whoever_judges_a_request_sees_the_name_its_certificate_is_taken_for() {
    let now = jiff::Timestamp::now();
    let created = create_authority("test", now.into()).unwrap();
    let authority = SigningAuthority { certificate_pem: created.certificate_pem.clone(), key_pem: created.key_pem };
    let mut parameters = CertificateParams::new(Vec::new()).unwrap();
    parameters.distinguished_name = rcgen::DistinguishedName::new();
    let mail = vec![1, 2, 840, 113_549, 1, 9, 1];
    for (attribute, value) in [
        (DnType::OrganizationName, DnValue::Utf8String("system:nodes".to_owned())),
        (DnType::CommonName, DnValue::Utf8String("system:kube-controller-manager".to_owned())),
        (CustomDnType(vec![2, 5, 4, 3]), DnValue::TeletexString("system:node:a".try_into().unwrap())),
        (CustomDnType(mail), DnValue::Ia5String("a@example.com".try_into().unwrap())),
        (CustomDnType(vec![2, 5, 4, 5]), DnValue::BmpString("\u{e9}".try_into().unwrap())),
    ] {
        parameters.distinguished_name.push(attribute, value);
    }
    let key = KeyPair::generate().unwrap();
    let encoded = STANDARD.encode(parameters.serialize_request(&key).unwrap().pem().unwrap());
    let usages = ["client auth", "digital signature"];
    let read = Request::of(&request("kubernetes.io/kube-apiserver-client-kubelet", &encoded, &usages)).unwrap();
    assert!(read.is_of_kubelet_client());
    assert_eq!(read.common_name(), "system:node:a");
    let of_request = sign(&read, &authority, now).unwrap();
    let (_, pem) = x509_parser::pem::parse_x509_pem(of_request.as_bytes()).unwrap();
    let subject = pem.parse_x509().unwrap().subject().to_string();
    assert_eq!(subject, "O=system:nodes, CN=system:node:a, serialNumber=\u{e9}");
    // Also a certificate somebody else made of it as it is.
    parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let issuer =
        rcgen::Issuer::from_ca_cert_pem(&authority.certificate_pem, KeyPair::from_pem(&authority.key_pem).unwrap());
    let unchanged = parameters.signed_by(&key, &issuer.unwrap()).unwrap().pem();
    let trusted = ClientAuthorities::from_pem(&authority.certificate_pem).unwrap();
    for pem in [of_request, unchanged] {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(pem.as_bytes()).map(Result::unwrap).collect();
        let user = trusted.verify(&chain, now.into()).unwrap();
        assert_eq!((user.name.as_str(), user.groups[0].as_str()), ("system:node:a", "system:nodes"));
    }
}

/// What `openssl x509 -req` makes if nobody names a file of extensions.
#[test]
fn a_certificate_of_version_one_names_its_user_if_a_trusted_authority_issued_it() {
    let now = jiff::Timestamp::now();
    let [ours, theirs] = ["ours", "ours"].map(|name| create_authority(name, now.into()).unwrap());
    let trusted = ClientAuthorities::from_pem(&ours.certificate_pem).unwrap();
    let subject_key = KeyPair::generate().unwrap();
    let issue = |authority: &crate::certificates::CertificateAndKey, end: jiff::Timestamp| {
        let key = KeyPair::from_pem(&authority.key_pem).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(authority.certificate_pem.as_bytes()).unwrap();
        let encoded = requested("anna", &["developers"], &[]);
        let read = Request::of(&request("kubernetes.io/kube-apiserver-client", &encoded, &["client auth"])).unwrap();
        let body = element(
            SEQUENCE,
            &[
                element(0x02, &[vec![7]]),
                signature_algorithm(&key).unwrap(),
                pem.parse_x509().unwrap().subject().as_raw().to_vec(),
                element(SEQUENCE, &[time(now - jiff::SignedDuration::from_hours(1)), time(end)]),
                read.subject.to_der(),
                subject_key.subject_public_key_info(),
            ],
        );
        let signature = [vec![0], key.sign(&body).unwrap()].concat();
        let parts = [body, signature_algorithm(&key).unwrap(), element(BIT_STRING, &[signature])];
        CertificateDer::from(element(SEQUENCE, &parts))
    };
    let later = now + jiff::SignedDuration::from_hours(1);
    let user = trusted.verify(&[issue(&ours, later)], now.into()).unwrap();
    assert_eq!(
        (user.name.as_str(), &*user.groups),
        ("anna", &["developers".to_owned(), "system:authenticated".to_owned()][..])
    );
    assert_eq!(
        trusted.verify(&[issue(&ours, later)], (later + jiff::SignedDuration::from_secs(1)).into()),
        None,
        "ended"
    );
    assert_eq!(trusted.verify(&[issue(&theirs, later)], now.into()), None, "an authority of the same name");
}

#[test]
fn wrong_requests_are_refused_and_decisions_stay() {
    let good = requested("anna", &[], &[]);
    let mut tampered = STANDARD.decode(&good).unwrap();
    let at = tampered.len() - 60;
    tampered[at] = if tampered[at] == b'A' { b'B' } else { b'A' };
    let lines = |object: &Value, old: Option<&Value>| {
        validate(object, old)
            .iter()
            .map(FieldError::to_string)
            .map(|text| text.replace(&good, "REQUEST"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let with = |conditions: Value| {
        let mut object = request("kubernetes.io/kube-apiserver-client", &good, &["client auth"]);
        object["status"] = json!({"conditions": conditions});
        object
    };
    let approved = with(json!([{"type": "Approved", "status": "True"}]));
    insta::assert_snapshot!(
        [
            lines(&request("kubernetes.io/legacy-unknown", &STANDARD.encode("x"), &[]), None),
            lines(&request("a", &good, &["client auth", "client auth", "flying"]), None),
            lines(&request("example/a", &good, &["any"]), None),
            lines(&approved, None),
            lines(&with(json!([{"type": "Approved", "status": "False"}, {"type": "Denied", "status": "True"}, {"type": "Denied", "status": "True"}, {"type": "X"}])), None),
            lines(&with(json!([])), Some(&approved)),
        ]
        .join("\n---\n")
    );
    assert_eq!(validate(&request("example.com/a", &STANDARD.encode(&tampered), &["any"]), None).len(), 1);
}

#[test]
fn requests_are_kept_for_a_while() {
    let now: jiff::Timestamp = "2026-01-02T00:00:00Z".parse().unwrap();
    let object = |created: &str, conditions: Value| json!({"metadata": {"creationTimestamp": created}, "status": {"conditions": conditions, "certificate": "x"}});
    assert!(!is_over(&object("2026-01-01T00:30:00Z", json!([])), now));
    assert!(is_over(&object("2025-12-31T23:59:00Z", json!([])), now));
    let at = |time: &str| json!([{"type": "Approved", "lastUpdateTime": time}]);
    assert!(!is_over(&object("2025-01-01T00:00:00Z", at("2026-01-01T23:30:00Z")), now));
    assert!(is_over(&object("2025-01-01T00:00:00Z", at("2026-01-01T22:30:00Z")), now));
}
