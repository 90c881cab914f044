import Wire

/// The file with which `kubectl` and every client library finds and trusts a server.
public enum Kubeconfig {
  /// - Parameters:
  ///   - server: the URL, such as `https://127.0.0.1:6443`.
  ///   - authority: the CA certificate in PEM.
  ///   - identity: the client certificate and key in PEM.
  /// - Returns: YAML with everything embedded. It holds a private key: write it with mode 0600.
  public static func render(
    server: String, authority: String, identity: PKI.Identity, cluster: String = "apus", user: String
  ) -> String {
    """
    apiVersion: v1
    kind: Config
    clusters:
    - name: \(cluster)
      cluster:
        server: \(server)
        certificate-authority-data: \(Base64.encode(Array(authority.utf8)))
    users:
    - name: \(user)
      user:
        client-certificate-data: \(Base64.encode(Array(identity.certificate.utf8)))
        client-key-data: \(Base64.encode(Array(identity.privateKey.utf8)))
    contexts:
    - name: \(cluster)
      context:
        cluster: \(cluster)
        user: \(user)
    current-context: \(cluster)

    """
  }
}
