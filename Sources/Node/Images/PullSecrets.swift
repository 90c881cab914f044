import Distribution
import KubeTypes

/// Pull secrets of pods.
enum PullSecrets {
  /// Bytes of a docker configuration.
  static let sizeMax = 1 << 20

  /// The key with the credentials, by the secret's type.
  private static let keys = [
    "kubernetes.io/dockerconfigjson": ".dockerconfigjson", "kubernetes.io/dockercfg": ".dockercfg",
  ]

  /// The credentials of all secrets. Secrets of other types count for nothing, as in kubelet. One that cannot be read is
  /// an error: a pull without it would fail for a reason that nobody understands.
  static func configuration(of secrets: [Secret]) throws(NodeError) -> DockerConfiguration {
    var result = DockerConfiguration()
    for secret in secrets {
      guard let key = keys[secret.type ?? ""], let bytes = VolumeContent.data(of: secret)[key], !bytes.isEmpty else {
        continue
      }
      do {
        result.add(try DockerConfiguration(parsing: bytes))
      } catch {
        throw NodeError(.errImagePull, "pull secret \"\(secret.metadata.name ?? "")\": \(error.message)")
      }
    }
    return result
  }
}
