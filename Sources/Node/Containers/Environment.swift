import KubeTypes
import Wire

/// Builds a container's environment (kubelet's `makeEnvironmentVariables`). Pure: what it refers to was fetched before.
struct EnvironmentBuilder: Sendable {
  /// Data of the ConfigMaps and Secrets that are referred to; one that does not exist is absent.
  var configMaps: [String: [String: String]] = [:]
  /// Values as text: a value that is no UTF-8 cannot be an environment variable.
  var secrets: [String: [String: [UInt8]]] = [:]
  var place: FieldReference.Place
  var allocatable: [String: Quantity] = [:]
  /// Variables of services and of the API server; the weakest ones.
  var services: [(name: String, value: String)] = []

  /// Variables in the order of their first definition: services, then `envFrom`, then `env`; a later one of the same
  /// name wins. Throws `CreateContainerConfigError` for a reference that leads nowhere.
  func variables(for container: Container, of pod: Pod) throws(NodeError) -> [(name: String, value: String)] {
    var names: [String] = []
    var values: [String: String] = [:]
    func set(_ name: String, _ value: String) {
      if values.updateValue(value, forKey: name) == nil { names.append(name) }
    }
    for variable in services { set(variable.name, variable.value) }

    for source in container.envFrom {
      let prefix = source.prefix ?? ""
      if let reference = source.configMapRef {
        let name = reference.name ?? ""
        if let data = configMaps[name] {
          for (key, value) in data.sorted(by: { $0.key < $1.key }) { set(prefix + key, value) }
        } else if reference.`optional` != true {
          throw NodeError(.createContainerConfigError, "configmap \"\(name)\" not found")
        }
      } else if let reference = source.secretRef {
        let name = reference.name ?? ""
        if let data = secrets[name] {
          for (key, value) in data.sorted(by: { $0.key < $1.key }) {
            set(prefix + key, String(decoding: value, as: UTF8.self))
          }
        } else if reference.`optional` != true {
          throw NodeError(.createContainerConfigError, "secret \"\(name)\" not found")
        }
      }
    }

    for variable in container.env {
      guard let name = variable.name else { continue }
      if let source = variable.valueFrom {
        if let value = try value(of: source, container: container, pod: pod) { set(name, value) }
      } else {
        set(name, Expansion.expand(variable.value ?? "") { values[$0] })
      }
    }
    return names.map { ($0, values[$0] ?? "") }
  }

  /// `nil` for an optional reference that leads nowhere.
  private func value(of source: EnvVarSource, container: Container, pod: Pod) throws(NodeError) -> String? {
    let namespace = pod.metadata.namespace ?? ""
    if let field = source.fieldRef {
      let path = field.fieldPath ?? ""
      guard let value = FieldReference.value(path, pod: pod, place: place) else {
        throw NodeError(.createContainerConfigError, "unsupported fieldPath: \(path)")
      }
      return value
    }
    if let field = source.resourceFieldRef {
      let resource = field.resource ?? ""
      let other = field.containerName ?? ""
      let all = pod.spec.containers + pod.spec.initContainers
      let subject = other.isEmpty ? container : all.first { $0.name == other }
      guard let subject else {
        throw NodeError(.createContainerConfigError, "container \(other) of resourceFieldRef not found")
      }
      guard
        let value = FieldReference.resource(
          resource, of: subject, divisor: field.divisor, allocatable: allocatable)
      else { throw NodeError(.createContainerConfigError, "unsupported container resource: \(resource)") }
      return value
    }
    if let reference = source.configMapKeyRef {
      let name = reference.name ?? ""
      let key = reference.key ?? ""
      guard let data = configMaps[name] else {
        if reference.`optional` == true { return nil }
        throw NodeError(.createContainerConfigError, "configmap \"\(name)\" not found")
      }
      if let value = data[key] { return value }
      if reference.`optional` == true { return nil }
      throw NodeError(.createContainerConfigError, "couldn't find key \(key) in ConfigMap \(namespace)/\(name)")
    }
    if let reference = source.secretKeyRef {
      let name = reference.name ?? ""
      let key = reference.key ?? ""
      guard let data = secrets[name] else {
        if reference.`optional` == true { return nil }
        throw NodeError(.createContainerConfigError, "secret \"\(name)\" not found")
      }
      if let value = data[key] { return String(decoding: value, as: UTF8.self) }
      if reference.`optional` == true { return nil }
      throw NodeError(.createContainerConfigError, "couldn't find key \(key) in Secret \(namespace)/\(name)")
    }
    return ""
  }
}

/// The variables by which containers find services (`docker links` style; kubelet's `envvars.FromServices`).
enum ServiceVariables {
  /// A service as far as its variables go.
  struct Entry: Sendable, Equatable {
    var name: String
    var clusterIP: String
    var ports: [Port]

    struct Port: Sendable, Equatable {
      var name: String
      var port: Int
      /// `TCP`, `UDP` or `SCTP`.
      var transport: String
    }
  }

  static func variables(for services: [Entry]) -> [(name: String, value: String)] {
    var result: [(name: String, value: String)] = []
    for service in services {
      guard !service.clusterIP.isEmpty, service.clusterIP != "None", let first = service.ports.first else { continue }
      let prefix = variableName(service.name)
      let host = service.clusterIP.contains(":") ? "[\(service.clusterIP)]" : service.clusterIP
      result.append(("\(prefix)_SERVICE_HOST", service.clusterIP))
      result.append(("\(prefix)_SERVICE_PORT", "\(first.port)"))
      for port in service.ports where !port.name.isEmpty {
        result.append(("\(prefix)_SERVICE_PORT_\(variableName(port.name))", "\(port.port)"))
      }
      result.append(("\(prefix)_PORT", "\(first.transport.lowercased())://\(host):\(first.port)"))
      for port in service.ports {
        let portPrefix = "\(prefix)_PORT_\(port.port)_\(port.transport.uppercased())"
        result.append((portPrefix, "\(port.transport.lowercased())://\(host):\(port.port)"))
        result.append(("\(portPrefix)_PROTO", port.transport.lowercased()))
        result.append(("\(portPrefix)_PORT", "\(port.port)"))
        result.append(("\(portPrefix)_ADDR", service.clusterIP))
      }
    }
    return result
  }

  private static func variableName(_ name: String) -> String {
    name.uppercased().replacing("-", with: "_")
  }
}
