import LinuxSystem

/// The certificates that an administrator has put down for a host, in the form of `/etc/docker/certs.d/HOST:PORT/`.
struct CertificateFolder: Sendable, Equatable {
  var authorities: [String] = []
  var clientCertificate: String?
  var clientKey: String?

  /// Looks for the host's folder; `nil` when there is none, or nothing in it.
  static func find(_ host: String, in folders: [String]) -> CertificateFolder? {
    guard !host.contains("/"), host != ".", host != ".." else { return nil }
    for folder in folders {
      let path = "\(folder)/\(host)"
      guard let names = try? Directory.list(path) else { continue }
      var found = CertificateFolder()
      let known = Set(names)
      for name in names.sorted() {
        if name.hasSuffix(".crt") {
          found.authorities.append("\(path)/\(name)")
        } else if name.hasSuffix(".cert"), found.clientCertificate == nil {
          let key = "\(name.dropLast(5)).key"
          guard known.contains(key) else { continue }
          found.clientCertificate = "\(path)/\(name)"
          found.clientKey = "\(path)/\(key)"
        }
      }
      if found != CertificateFolder() { return found }
    }
    return nil
  }
}
