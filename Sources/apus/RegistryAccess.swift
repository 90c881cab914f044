import Distribution
import Glibc
import HTTP
import LinuxSystem
import OCI

/// How commands reach other registries: with the certificates of this machine and the sign-ins of its user.
enum RegistryAccess {
  /// The folders in which Docker, podman and containerd look for a registry's certificates.
  private static let certificateFolders = ["/etc/docker/certs.d", "/etc/containers/certs.d"]

  /// - Throws: for a proxy in the environment that cannot be used.
  static func client() throws -> RegistryClient {
    var configuration = RegistryClientConfiguration()
    configuration.hosts.certificateFolders = certificateFolders
    var environment: [String: String] = [:]
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"] {
      environment[name] = getenv(name).map { String(cString: $0) }
    }
    configuration.proxy = try ProxyConfiguration(environment: environment)
    configuration.retry.seed = UInt64.random(in: .min ... .max)
    configuration.userAgent = "apus/\(Version.apus)"
    return RegistryClient(configuration: configuration)
  }

  /// The first sign-in for an image that `docker login`, `podman login` or `skopeo login` has kept for this user.
  ///
  /// - Throws: for a file that is there and cannot be read: going without would fail far from the reason.
  static func credentials(for reference: Reference) throws -> Credentials? {
    for path in files where access(path, F_OK) == 0 {
      let bytes = try DurableFile.read(path, limit: 1 << 20)
      let configuration: DockerConfiguration
      do {
        configuration = try DockerConfiguration(parsing: bytes)
      } catch {
        throw Failure("\(path): \(error)")
      }
      if let credentials = configuration.credentials(for: reference).first { return credentials }
    }
    return nil
  }

  /// In the order of containers-auth.json(5), with Docker's own place behind.
  private static var files: [String] {
    func variable(_ name: String) -> String? {
      getenv(name).map { String(cString: $0) }.flatMap { $0.isEmpty ? nil : $0 }
    }
    if let file = variable("REGISTRY_AUTH_FILE") { return [file] }
    let home = variable("HOME") ?? "/root"
    var files = ["/run/containers/\(getuid())/auth.json"]
    if let folder = variable("XDG_RUNTIME_DIR") { files.insert("\(folder)/containers/auth.json", at: 0) }
    files.append("\(home)/.config/containers/auth.json")
    files.append("\(variable("DOCKER_CONFIG") ?? "\(home)/.docker")/config.json")
    return files
  }
}
