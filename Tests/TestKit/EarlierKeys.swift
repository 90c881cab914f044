/// What a server had whose folder `pki` swift-certificates 1.21 and swift-crypto 4.5 filled, as earlier versions did, with the
/// clock at 1700000000. What these keys sign is trusted by nobody.
package enum EarlierKeys {
  /// `CN=apus-ca-1700000000`, until 2033.
  package static let authority = """
    -----BEGIN CERTIFICATE-----
    MIIBfjCCASSgAwIBAgIUPFyaImbogH/7hL9XJVNc8Yyupf4wCgYIKoZIzj0EAwIw
    HTEbMBkGA1UEAwwSYXB1cy1jYS0xNzAwMDAwMDAwMB4XDTIzMTExNDIxMTMyMFoX
    DTMzMTExMTIyMTMyMFowHTEbMBkGA1UEAwwSYXB1cy1jYS0xNzAwMDAwMDAwMFkw
    EwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE7VTy9xY3ceknVZmUCeOtmT5LXsRmP0yZ
    ls0hEdBmtwZRVObc8mmorzfQJ8bHMGGbeEbiYrMs3znJVZyWZTQAdqNCMEAwDwYD
    VR0TAQH/BAUwAwEB/zAOBgNVHQ8BAf8EBAMCAYYwHQYDVR0OBBYEFF1joI2afjAA
    WFKtray1x4yUDjk2MAoGCCqGSM49BAMCA0gAMEUCIGQ1o4CvYEZvhVjWdceCUiYK
    OyUjCEOTcK74TtmcFld5AiEAsMtuDhiKgUQ5FMSq8rNlwQ/ay3B7xF8MAZmOZTGR
    u0g=
    -----END CERTIFICATE-----
    """

  /// Its key.
  package static let authorityKey = """
    -----BEGIN PRIVATE KEY-----
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgv+EDFQfmA21NzTpO
    6XqJSBfQeV986nvHKGT/TvDT4c6hRANCAATtVPL3Fjdx6SdVmZQJ462ZPktexGY/
    TJmWzSER0Ga3BlFU5tzyaaivN9AnxscwYZt4RuJisyzfOclVnJZlNAB2
    -----END PRIVATE KEY-----
    """

  /// `CN=kube-apiserver`, for localhost, kubernetes.default.svc, 127.0.0.1 and ::1.
  package static let serving = """
    -----BEGIN CERTIFICATE-----
    MIIB1jCCAXygAwIBAgIULWiHAUuxa4ll1IC3yXvvvMjXhSYwCgYIKoZIzj0EAwIw
    HTEbMBkGA1UEAwwSYXB1cy1jYS0xNzAwMDAwMDAwMB4XDTIzMTExNDIxMTMyMFoX
    DTI0MTExMzIyMTMyMFowGTEXMBUGA1UEAwwOa3ViZS1hcGlzZXJ2ZXIwWTATBgcq
    hkjOPQIBBggqhkjOPQMBBwNCAASauug4M/ZfQw4vY+9r37gTcqOjhTojzn/8kpFN
    Z0DkOhci2gXX8q6ThOg9UOKrV10hoZu1bsrNVeNkyBDO7BY/o4GdMIGaMAwGA1Ud
    EwEB/wQCMAAwDgYDVR0PAQH/BAQDAgeAMBMGA1UdJQQMMAoGCCsGAQUFBwMBMB8G
    A1UdIwQYMBaAFF1joI2afjAAWFKtray1x4yUDjk2MEQGA1UdEQQ9MDuCCWxvY2Fs
    aG9zdIIWa3ViZXJuZXRlcy5kZWZhdWx0LnN2Y4cEfwAAAYcQAAAAAAAAAAAAAAAA
    AAAAATAKBggqhkjOPQQDAgNIADBFAiEA7F1bsqu1J7/3SKKi50PHueNT/6Ubl82q
    I6uHffnRMU8CIHBnodX9+/snzUzZh5Ve4m/+qsv04WbkxZFX8pDUkwNV
    -----END CERTIFICATE-----
    """

  /// Its key.
  package static let servingKey = """
    -----BEGIN PRIVATE KEY-----
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgsRi5vCeTPhOzXtjr
    zYQqTZLtIcEmIwuSRhi2ITvA+MOhRANCAASauug4M/ZfQw4vY+9r37gTcqOjhToj
    zn/8kpFNZ0DkOhci2gXX8q6ThOg9UOKrV10hoZu1bsrNVeNkyBDO7BY/
    -----END PRIVATE KEY-----
    """

  /// `O=system:masters, CN=kubernetes-admin`.
  package static let administrator = """
    -----BEGIN CERTIFICATE-----
    MIIBqjCCAU+gAwIBAgIUKDDGvY9K4S20Sdw+zDCKCuVIK2IwCgYIKoZIzj0EAwIw
    HTEbMBkGA1UEAwwSYXB1cy1jYS0xNzAwMDAwMDAwMB4XDTIzMTExNDIxMTMyMFoX
    DTI0MTExMzIyMTMyMFowNDEXMBUGA1UECgwOc3lzdGVtOm1hc3RlcnMxGTAXBgNV
    BAMMEGt1YmVybmV0ZXMtYWRtaW4wWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASJ
    wzGOW7ztWLD79+nSjwquYNHiqE59nSB4/gb76H0cC04hKfQC3OxAkh3VWzL1lzmL
    pId8qpwRfl9wXZEu/nxto1YwVDAMBgNVHRMBAf8EAjAAMA4GA1UdDwEB/wQEAwIH
    gDATBgNVHSUEDDAKBggrBgEFBQcDAjAfBgNVHSMEGDAWgBRdY6CNmn4wAFhSra2s
    tceMlA45NjAKBggqhkjOPQQDAgNJADBGAiEAltv1adv97DDF7TmD5xHpn7OtxZTM
    golLRUB+aQZSZQsCIQC+51FXUeQBFblCuTBlmtOvpvDsTGl7DiOcX7Xv5DjJHQ==
    -----END CERTIFICATE-----
    """

  /// Its key.
  package static let administratorKey = """
    -----BEGIN PRIVATE KEY-----
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg2I9ybk2FE9+6+cvW
    2Irz118pFccOcTONTc3wG4kDvUihRANCAASJwzGOW7ztWLD79+nSjwquYNHiqE59
    nSB4/gb76H0cC04hKfQC3OxAkh3VWzL1lzmLpId8qpwRfl9wXZEu/nxt
    -----END PRIVATE KEY-----
    """

  /// The key of tokens.
  package static let tokenKey = """
    -----BEGIN PRIVATE KEY-----
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgSWwWvy/2HvHnfdpo
    Ub8sorsrdTML2GB+ikrN86woPwehRANCAAQ+LQw46M9OwLaF09NF+5ufiYYZGc1k
    jtlKBRPwiG1QaBo7ow1M8+AzhB7pg51YU5Fucc4jFpXUNyASMN08ccOG
    -----END PRIVATE KEY-----
    """

  /// The files of the folder. `sa.key` had no line break at its end.
  package static let files = [
    "ca.crt": authority + "\n", "ca.key": authorityKey + "\n", "apiserver.crt": serving + "\n",
    "apiserver.key": servingKey + "\n", "admin.crt": administrator + "\n", "admin.key": administratorKey + "\n",
    "sa.key": tokenKey,
  ]

  package static let fingerprints = [
    "ca.crt": "fc9693c3446cd38d79d3d0d5a0dc5edd0f345d9f15f6feb55ebbbcfd2a75e341",
    "sa.key": "ce77e344978aa71484d9e2cd3aba2b34c9772c3dee774fae5d1b85c97904cfe9",
  ]
}
