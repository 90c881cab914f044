/// Keys and certificates for tests, beside those of `EarlierKeys`. What they sign is trusted by nobody.
enum Fixture {
  // As swift-crypto 4.5 and swift-certificates 1.21 wrote them, with the clock at 1700000000.

  /// The authority of `EarlierKeys`, until 2123: that year takes four digits.
  static let distantAuthority = """
    -----BEGIN CERTIFICATE-----
    MIIBgTCCASegAwIBAgIVAMgXoDF4b8/gbb7OLOpatbQxJl2kMAoGCCqGSM49BAMC
    MB0xGzAZBgNVBAMMEmFwdXMtY2EtMTcwMDAwMDAwMDAgFw0yMzExMTQyMTEzMjBa
    GA8yMTIzMTAyMTIyMTMyMFowHTEbMBkGA1UEAwwSYXB1cy1jYS0xNzAwMDAwMDAw
    MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE7VTy9xY3ceknVZmUCeOtmT5LXsRm
    P0yZls0hEdBmtwZRVObc8mmorzfQJ8bHMGGbeEbiYrMs3znJVZyWZTQAdqNCMEAw
    DwYDVR0TAQH/BAUwAwEB/zAOBgNVHQ8BAf8EBAMCAYYwHQYDVR0OBBYEFF1joI2a
    fjAAWFKtray1x4yUDjk2MAoGCCqGSM49BAMCA0gAMEUCIGSVh6rUXR4y1f0OkysI
    frS9aL4tEVIt9QlQeqq7Ctk+AiEArV5ZVaESHdoNfK0FNuhV8K2GBUL5zNwc3cpg
    88VBWuw=
    -----END CERTIFICATE-----
    """

  /// What the key of tokens of `EarlierKeys` signed: "Apus".
  static let tokenSignature =
    "5e48883a70dd9cb6a2da0ba34540c5e78a2df8551795d9acff1ebe95156c700a"
    + "70fa2d25e486c5da6b368174695407f2e4b8a771bd4d9fd7df49c4c3d4e4395c"

  // By the program openssl, version 3.0.

  /// As RFC 5915 has it.
  static let sec1Key = """
    -----BEGIN EC PRIVATE KEY-----
    MHcCAQEEID9Sb2gV0/70cJRoY84uDd7hopaCW1uMZZlS2ui/XXO+oAoGCCqGSM49
    AwEHoUQDQgAEP5IC0IZ1Ub2CI5wqRD//7ON0tKyEUDxP5lZ7nPrQs+QEK2R3wTAi
    t9QgmK1vZB6Vx1vc0S1p38fgveRE3lzxmQ==
    -----END EC PRIVATE KEY-----
    """

  /// The same as PKCS #8.
  static let pkcs8Key = """
    -----BEGIN PRIVATE KEY-----
    MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgP1JvaBXT/vRwlGhj
    zi4N3uGiloJbW4xlmVLa6L9dc76hRANCAAQ/kgLQhnVRvYIjnCpEP//s43S0rIRQ
    PE/mVnuc+tCz5AQrZHfBMCK31CCYrW9kHpXHW9zRLWnfx+C95ETeXPGZ
    -----END PRIVATE KEY-----
    """

  /// `O=Example, CN=own ca` of that key, signed with SHA-384.
  static let ownAuthority = """
    -----BEGIN CERTIFICATE-----
    MIIBnTCCAUOgAwIBAgIUOCx6ybZi+RsFH6J5YWrlIFrQE/4wCgYIKoZIzj0EAwMw
    IzEQMA4GA1UECgwHRXhhbXBsZTEPMA0GA1UEAwwGb3duIGNhMCAXDTI2MTEzMDE3
    NDQwN1oYDzIxMjYxMTA2MTc0NDA3WjAjMRAwDgYDVQQKDAdFeGFtcGxlMQ8wDQYD
    VQQDDAZvd24gY2EwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQ/kgLQhnVRvYIj
    nCpEP//s43S0rIRQPE/mVnuc+tCz5AQrZHfBMCK31CCYrW9kHpXHW9zRLWnfx+C9
    5ETeXPGZo1MwUTAdBgNVHQ4EFgQUBVoKFlRheqm1WxBHawrd7KBidrkwHwYDVR0j
    BBgwFoAUBVoKFlRheqm1WxBHawrd7KBidrkwDwYDVR0TAQH/BAUwAwEB/zAKBggq
    hkjOPQQDAwNIADBFAiEAyJh6o/fkaP0XAKifhe99S6WjQWQKD7c5NfXEnwJ63tMC
    IFZp/Gu8e8/iytHBcg5ya1wTG9HYTixLYnQ+VOAShQ8R
    -----END CERTIFICATE-----
    """

  /// `O=dev, O=ops, CN=jane, emailAddress=jane@example.org` by the authority of `EarlierKeys`, of an RSA key, in PrintableString.
  static let client = """
    -----BEGIN CERTIFICATE-----
    MIIDBDCCAqqgAwIBAgIUQuBGB761vtBX4ZZQ4KN4yvaZ4AIwCgYIKoZIzj0EAwIw
    HTEbMBkGA1UEAwwSYXB1cy1jYS0xNzAwMDAwMDAwMCAXDTI2MTEzMDE3NDQwN1oY
    DzIxMjYxMTA2MTc0NDA3WjBMMQwwCgYDVQQKEwNkZXYxDDAKBgNVBAoTA29wczEN
    MAsGA1UEAxMEamFuZTEfMB0GCSqGSIb3DQEJARYQamFuZUBleGFtcGxlLm9yZzCC
    ASIwDQYJKoZIhvcNAQEBBQADggEPADCCAQoCggEBAOkySFF2PCh8L8bacdYJdI/H
    jtIcuoy0OIRD5gL62Vcyd7IxZXpMfmNv63tidDD5gAaP7e8xzNwivblcfd6wSSPN
    3YldSW5woa9WerFs6txstn2svKzIqm2UO0XPaMcFa6f61uWIQayeEgiAjcU5EaoT
    QAJBycnoLtJWhD1Bm+j5yt3w1KvAGLf/LoGAiQum55BjGiZCZCFGlSswd0fea1rt
    HEXBdMJy3xgu2HBnsWnfybwgBPf4StegxcgesoHASNEyniXFutDeAJtbpFSNgTT2
    pyjbzm2610PFhML39ZJYc/GvHGH+DRnq4BbK+BNeLITEeHSvDJLQPcP0D5dvo60C
    AwEAAaOByzCByDAMBgNVHRMBAf8EAjAAMA4GA1UdDwEB/wQEAwIFoDAdBgNVHSUE
    FjAUBggrBgEFBQcDAgYIKwYBBQUHAwQwSQYDVR0RBEIwQIEQamFuZUBleGFtcGxl
    Lm9yZ4IQamFuZS5leGFtcGxlLm9yZ4cEwAACAYYUaHR0cHM6Ly9leGFtcGxlLm9y
    Zy8wHQYDVR0OBBYEFL/kaqOp+m0XkxpoTG28/ipIMS01MB8GA1UdIwQYMBaAFF1j
    oI2afjAAWFKtray1x4yUDjk2MAoGCCqGSM49BAMCA0gAMEUCIElPK35wWv8XewVG
    J+m4UJdujx63sH/XO8xpV2q9bTv4AiEA/vyv+//eNieeIkhZeT9D5wI0CyDVjEt2
    Derj9om7894=
    -----END CERTIFICATE-----
    """

  /// A key of another type.
  static let rsaKey = """
    -----BEGIN PRIVATE KEY-----
    MIIEvAIBADANBgkqhkiG9w0BAQEFAASCBKYwggSiAgEAAoIBAQDpMkhRdjwofC/G
    2nHWCXSPx47SHLqMtDiEQ+YC+tlXMneyMWV6TH5jb+t7YnQw+YAGj+3vMczcIr25
    XH3esEkjzd2JXUlucKGvVnqxbOrcbLZ9rLysyKptlDtFz2jHBWun+tbliEGsnhII
    gI3FORGqE0ACQcnJ6C7SVoQ9QZvo+crd8NSrwBi3/y6BgIkLpueQYxomQmQhRpUr
    MHdH3mta7RxFwXTCct8YLthwZ7Fp38m8IAT3+ErXoMXIHrKBwEjRMp4lxbrQ3gCb
    W6RUjYE09qco285tutdDxYTC9/WSWHPxrxxh/g0Z6uAWyvgTXiyExHh0rwyS0D3D
    9A+Xb6OtAgMBAAECgf8X4VOS0uocUEcrBUNzsVTX2CvhaCaITmcOgw+UguxXX2fW
    PjN15RsPxNrlogY0PNNV0a9KMLCs72OVKjbcoLta7maycW2NfqVPK1u7DPs0ri/w
    alXu7wNeT6E5e0In47e/gFqGlU0L2h0R7af8qQuqbCJlaW4SJaXMZF6b3MASqIRl
    679WBYoTGSNLfGvfO99l6w6Yuv5wU56YjjqrndepyTlQ9fuGVCYUow0zfmM0Nibx
    8Mujq5vv5dTosz7Ezj/7f9z7OGnLv3MwEaMrhc5reVs/ENIX766oOZOe+yk7sPBT
    t2YzTiB3QgAHcQ1B/Zrnwu3neFflLbp6PU7uswkCgYEA9mJe/8qKAMdsCVBZywYq
    UL0ronHepwrvVarylxLWXgZyk8YeKmSVx9TPUEBTf8SCKDDHotSnCf0bQjmOMgkl
    ACANNDnmYvGOMKANCO7VQrpAmliFib6poOFJiLL3w1X82pUkfDvjht30fC4CqWpc
    N2L18UF0ItcUYYyeveJFyPUCgYEA8kwmxDmUjB1QoJnrelmECDWbKYGPO41GU1pH
    z3yZXfgYHI03kKtJUkVuwv0bDaNlMJXpC9h5IaO1jd8MvSvC7lO/fAivpbNmj253
    Eu2A9glYsM1rLxjpMrsCadpUqKtKXo9L2j9le7qH3JwiLfJENThP9YOJj1EKE/HR
    vfynnNkCgYEAoH3fp/uE/ZDpnP+MHiW79q/i9oP6JxGGaWVbdHE+1iyZAg1xpOe0
    cWD8Uig0u+uDZS6xPC4NSQJoeTEIoSs3wOcf8r8shZMXrjDzjLgWjsrIPkIfamSa
    FkPqJHN/1Ov0M2YnSA2y3i1CjoliDn1L6IA7+JVMU02K5yg0VzhHgOkCgYANx3Tg
    7eFbwoMGTxqMH7EZgmrrhlmt6k/Yh6bTzuMt6+D7JrDFQmhuDFLLNfem4+bqR2w0
    Z0AkQJofklK4I1f3k72tARV0F+q6N28AHY+a7lcj3tq8l+8TGn19pZPw76TQEdgf
    dkGAMtBtJFfxQvjMCgLKFIvrIZGwJq1l34tsqQKBgQCLrukSmcfRLfjxB3bCO38s
    Gnt6WqYJ4ADL62xs9JvTFJw7B2SuGRrAsVK8AaKDR/G/J4rqqSZOJdK1/U4RDf0G
    ieitv9TPh3zQ4d0QRsP8nv+6SK1NnqdHMTClw4UUY2aywXnITgDKzTD7DAlqOXnV
    QG+FAPBjwJAvCTMa5bV8yQ==
    -----END PRIVATE KEY-----
    """
}
