//! Signing: the names and key of a request as they are, its subject as it was read, with the authority's name and
//! signature.
//!
//! The certificate is written by hand, as a subject may have an attribute more than once (groups are organizations),
//! which the certificate library's own builder cannot express.

use jiff::{SignedDuration, Timestamp};
use rcgen::{KeyPair, SigningKey as _};
use x509_parser::extensions::GeneralName;

use super::{SigningAuthority, request::Request};

/// How long a certificate is valid at most, as the controller manager has it by default.
const LONGEST: SignedDuration = SignedDuration::from_hours(365 * 24);
const SHORTEST: SignedDuration = SignedDuration::from_mins(10);
/// Certificates are valid from a moment ago, for clocks that are behind.
const BACKDATE: SignedDuration = SignedDuration::from_mins(5);
/// Shorter ones get their full time nevertheless.
const SHORT: SignedDuration = SignedDuration::from_hours(8);

pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
pub(super) const BIT_STRING: u8 = 0x03;

/// The certificate for a request, PEM.
///
/// # Errors
/// If the authority is not usable, or has ended.
pub(super) fn sign(request: &Request, authority: &SigningAuthority, now: Timestamp) -> Result<String, String> {
    let failed = |error: &dyn std::fmt::Display| format!("error auto signing csr: {error}");
    let key = KeyPair::from_pem(&authority.key_pem).map_err(|error| failed(&error))?;
    let (_, pem) =
        x509_parser::pem::parse_x509_pem(authority.certificate_pem.as_bytes()).map_err(|error| failed(&error))?;
    let issuer = pem.parse_x509().map_err(|error| failed(&error))?;
    let end_of_issuer = Timestamp::from_second(issuer.validity().not_after.timestamp()).unwrap_or(Timestamp::MAX);
    let wanted = request.expiration_seconds.map_or(LONGEST, SignedDuration::from_secs).clamp(SHORTEST, LONGEST);
    let end = if wanted < SHORT { now + wanted } else { now + wanted - BACKDATE };
    if now >= end_of_issuer {
        return Err(failed(&format!("the signer has expired: NotAfter={end_of_issuer}")));
    }
    let algorithm = signature_algorithm(&key)?;
    let authority_key = issuer.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        x509_parser::extensions::ParsedExtension::SubjectKeyIdentifier(id) => Some(id.0.to_vec()),
        _ => None,
    });
    let serial = uuid::Uuid::new_v4();
    let body = element(
        SEQUENCE,
        &[
            element(0xa0, &[element(0x02, &[vec![2]])]),
            // Random bytes behind one that makes a positive number.
            element(0x02, &[[&[0x40], serial.as_bytes().as_slice()].concat()]),
            algorithm.clone(),
            issuer.subject().as_raw().to_vec(),
            element(SEQUENCE, &[time(now - BACKDATE), time(end.min(end_of_issuer))]),
            request.subject.to_der(),
            request.public_key.clone(),
            element(0xa3, &[element(SEQUENCE, &extensions(request, authority_key.as_deref()))]),
        ],
    );
    let signature = key.sign(&body).map_err(|error| failed(&error))?;
    let whole = element(SEQUENCE, &[body, algorithm, element(BIT_STRING, &[[&[0], signature.as_slice()].concat()])]);
    Ok(to_pem(&whole))
}

fn to_pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let encoded = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = "-----BEGIN CERTIFICATE-----\n".to_owned();
    for line in encoded.as_bytes().chunks(64) {
        pem.push_str(&String::from_utf8_lossy(line));
        pem.push('\n');
    }
    pem.push_str("-----END CERTIFICATE-----\n");
    pem
}

pub(super) fn signature_algorithm(key: &KeyPair) -> Result<Vec<u8>, String> {
    let ecdsa = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03];
    let algorithm = key.algorithm();
    let identifier = |bytes: &[u8]| element(OBJECT_IDENTIFIER, &[bytes.to_vec()]);
    if algorithm == &rcgen::PKCS_ECDSA_P256_SHA256 {
        Ok(element(SEQUENCE, &[identifier(&[&ecdsa[..], &[2]].concat())]))
    } else if algorithm == &rcgen::PKCS_ECDSA_P384_SHA384 {
        Ok(element(SEQUENCE, &[identifier(&[&ecdsa[..], &[3]].concat())]))
    } else if algorithm == &rcgen::PKCS_RSA_SHA256 {
        let rsa = identifier(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b]);
        Ok(element(SEQUENCE, &[rsa, vec![0x05, 0x00]]))
    } else if algorithm == &rcgen::PKCS_ED25519 {
        Ok(element(SEQUENCE, &[identifier(&[0x2b, 0x65, 0x70])]))
    } else {
        Err("error auto signing csr: the authority's key has an algorithm that is not known".to_owned())
    }
}

fn extensions(request: &Request, authority_key: Option<&[u8]>) -> Vec<Vec<u8>> {
    let extension = |number: u8, critical: bool, value: Vec<u8>| {
        let mut parts = vec![element(OBJECT_IDENTIFIER, &[vec![0x55, 0x1d, number]])];
        if critical {
            parts.push(vec![0x01, 0x01, 0xff]);
        }
        parts.push(element(OCTET_STRING, &[value]));
        element(SEQUENCE, &parts)
    };
    let mut all = Vec::new();
    let usage_bits = key_usage_bits(request);
    if usage_bits != 0 {
        let unused = u8::try_from(usage_bits.trailing_zeros()).unwrap_or(0);
        all.push(extension(15, true, element(BIT_STRING, &[vec![unused, usage_bits]])));
    }
    let purposes: Vec<Vec<u8>> = request.usages.iter().filter_map(|usage| extended_usage(usage)).collect();
    if !purposes.is_empty() {
        all.push(extension(37, false, element(SEQUENCE, &purposes)));
    }
    all.push(extension(19, true, element(SEQUENCE, &[])));
    if let Some(id) = authority_key {
        all.push(extension(35, false, element(SEQUENCE, &[element(0x80, &[id.to_vec()])])));
    }
    if let Some(names) = &request.alternative_names {
        all.push(extension(17, false, names.clone()));
    }
    all
}

/// The first eight bits of the extension, the first usage in the highest.
fn key_usage_bits(request: &Request) -> u8 {
    let bit = |usage: &str| match usage {
        "signing" | "digital signature" => 0x80,
        "content commitment" => 0x40,
        "key encipherment" => 0x20,
        "data encipherment" => 0x10,
        "key agreement" => 0x08,
        "cert sign" => 0x04,
        "crl sign" => 0x02,
        "encipher only" => 0x01,
        _ => 0,
    };
    request.usages.iter().fold(0, |bits, usage| bits | bit(usage))
}

/// Object identifiers below 1.3.6.1.5.5.7.3 (RFC 5280, 4.2.1.12).
fn extended_usage(usage: &str) -> Option<Vec<u8>> {
    let last = match usage {
        "server auth" => 1,
        "client auth" => 2,
        "code signing" => 3,
        "email protection" | "s/mime" => 4,
        "ipsec end system" => 5,
        "ipsec tunnel" => 6,
        "ipsec user" => 7,
        "timestamping" => 8,
        "ocsp signing" => 9,
        _ => return None,
    };
    Some(element(OBJECT_IDENTIFIER, &[vec![0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, last]]))
}

/// The value of the extension for these names; other sorts than DNS names, addresses, mail addresses and URIs are left
/// out.
pub(super) fn alternative_names(names: &[GeneralName<'_>]) -> Vec<u8> {
    let names: Vec<Vec<u8>> = names
        .iter()
        .filter_map(|name| match name {
            GeneralName::RFC822Name(text) => Some(element(0x81, &[text.as_bytes().to_vec()])),
            GeneralName::DNSName(text) => Some(element(0x82, &[text.as_bytes().to_vec()])),
            GeneralName::URI(text) => Some(element(0x86, &[text.as_bytes().to_vec()])),
            GeneralName::IPAddress(bytes) => Some(element(0x87, &[bytes.to_vec()])),
            _ => None,
        })
        .collect();
    element(SEQUENCE, &names)
}

/// UTCTime until 2049, GeneralizedTime from then on.
pub(super) fn time(at: Timestamp) -> Vec<u8> {
    let utc = at.strftime("%y%m%d%H%M%SZ").to_string();
    let general = at.strftime("%Y%m%d%H%M%SZ").to_string();
    if general.as_str() < "2050" { element(0x17, &[utc.into_bytes()]) } else { element(0x18, &[general.into_bytes()]) }
}

/// A DER element: tag, length, contents.
pub(super) fn element(tag: u8, contents: &[Vec<u8>]) -> Vec<u8> {
    let length: usize = contents.iter().map(Vec::len).sum();
    let mut bytes = vec![tag];
    let big = length.to_be_bytes();
    let significant = &big[big.iter().position(|byte| *byte != 0).unwrap_or(big.len() - 1)..];
    if length < 0x80 {
        bytes.extend_from_slice(significant);
    } else {
        bytes.push(0x80 | u8::try_from(significant.len()).unwrap_or(u8::MAX));
        bytes.extend_from_slice(significant);
    }
    for part in contents {
        bytes.extend_from_slice(part);
    }
    bytes
}
