import Glibc
import LinuxSystem
import Wire

/// Runs network plugins (CNI specification 1.0.0). Each call runs the list's plugins one after the other; calls for
/// different pods run at the same time, which the plugins allow.
struct CNI: Sendable {
  var configurationDirectory: String
  var pluginDirectories: [String]
  /// For one plugin.
  var timeout: Duration = .seconds(30)

  static let interfaceName = "eth0"

  struct Attachment: Sendable {
    /// `CNI_CONTAINERID`.
    var id: String
    var podUID: String
    var podName: String
    var podNamespace: String
    /// Empty when the namespace is gone: plugins then free what they hold elsewhere.
    var networkNamespace: String
    var portMappings: [PortMapping]
  }

  /// The first configuration of the folder by name, as a list. Read anew for every pod: it is one small file.
  func configuration() throws(RuntimeError) -> JSON {
    let names: [String]
    do throws(SystemError) { names = try Directory.list(configurationDirectory) } catch {
      throw RuntimeError(.network, "no network configuration: \(error)")
    }
    guard let name = names.first(where: { $0.hasSuffix(".conflist") || $0.hasSuffix(".conf") }) else {
      throw RuntimeError(
        .network, "the network is not ready: there is no .conflist file in \(configurationDirectory) yet")
    }
    let path = "\(configurationDirectory)/\(name)"
    do {
      let json = try JSON.parse(DurableFile.read(path, limit: 1 << 20))
      if name.hasSuffix(".conflist") {
        guard json["plugins"]?.array?.isEmpty == false, json["name"]?.string != nil else {
          throw RuntimeError(.network, "\(path) has no name or no plugins")
        }
        return json
      }
      return [
        "cniVersion": json["cniVersion"] ?? "1.0.0", "name": json["name"] ?? "default", "plugins": .array([json]),
      ]
    } catch let error as RuntimeError {
      throw error
    } catch {
      throw RuntimeError(.network, "read \(path): \(error)")
    }
  }

  /// Attaches a namespace. When a plugin refuses, what the ones before it did is taken back.
  /// - Returns: the last plugin's result.
  func add(_ attachment: Attachment, _ configuration: JSON) async throws(RuntimeError) -> JSON {
    var result: JSON?
    for plugin in configuration["plugins"]?.array ?? [] {
      do throws(RuntimeError) {
        let output = try await run("ADD", attachment, configuration, plugin, previous: result)
        guard let json = try? JSON.parse(output) else {
          throw RuntimeError(.network, "network plugin \(Self.type(plugin)) did not answer with JSON")
        }
        result = json
      } catch {
        try? await remove(attachment, configuration, result: result)
        throw error
      }
    }
    return result ?? .object([:])
  }

  /// Detaches; idempotent, as the specification asks of plugins. Every plugin is asked even when one fails.
  func remove(_ attachment: Attachment, _ configuration: JSON, result: JSON?) async throws(RuntimeError) {
    var failure: RuntimeError?
    for plugin in (configuration["plugins"]?.array ?? []).reversed() {
      do throws(RuntimeError) {
        _ = try await run("DEL", attachment, configuration, plugin, previous: result)
      } catch {
        failure = failure ?? error
      }
    }
    if let failure { throw failure }
  }

  /// Whether the attachment is as it was made.
  func check(_ attachment: Attachment, _ configuration: JSON, result: JSON) async throws(RuntimeError) {
    if configuration["disableCheck"]?.bool == true { return }
    for plugin in configuration["plugins"]?.array ?? [] {
      _ = try await run("CHECK", attachment, configuration, plugin, previous: result)
    }
  }

  /// The addresses of a result without their prefix lengths.
  static func addresses(_ result: JSON) -> [String] {
    (result["ips"]?.array ?? []).compactMap { ip in
      ip["address"]?.string.map { String($0.prefix { $0 != "/" }) }
    }
  }

  /// Whether one of the plugins opens ports of the host.
  static func mapsPorts(_ configuration: JSON) -> Bool {
    (configuration["plugins"]?.array ?? []).contains { $0.at("capabilities", "portMappings")?.bool == true }
  }

  /// The list without `portmap` for a pod that opens no ports of the host: it would answer with what it was given, and take
  /// its time for that.
  static func list(_ configuration: JSON, for ports: [PortMapping]) -> JSON {
    let others = configuration["plugins"]?.array?.filter { type($0) != "portmap" } ?? []
    guard ports.isEmpty, !others.isEmpty else { return configuration }
    var list = configuration
    list["plugins"] = .array(others)
    return list
  }

  /// Whether the plugins do the same for every pod without ports of the host, whatever it is called.
  static func ignoresNames(_ list: JSON) -> Bool {
    (list["plugins"]?.array ?? []).allSatisfy {
      type($0) == "bridge" && $0.at("ipam", "type")?.string == "host-local"
    }
  }

  /// What goes to a plugin's standard input.
  static func input(_ attachment: Attachment, _ configuration: JSON, _ plugin: JSON, previous: JSON?) -> JSON {
    var input = plugin
    input["cniVersion"] = configuration["cniVersion"] ?? "1.0.0"
    input["name"] = configuration["name"]
    if let capabilities = plugin["capabilities"] {
      input["capabilities"] = nil
      if capabilities["portMappings"]?.bool == true, !attachment.portMappings.isEmpty {
        input["runtimeConfig"] = ["portMappings": .array(attachment.portMappings.map(mapping))]
      }
    }
    if let previous { input["prevResult"] = previous }
    return input
  }

  private static func mapping(_ port: PortMapping) -> JSON {
    var json: JSON = [
      "hostPort": .int(Int64(port.hostPort)), "containerPort": .int(Int64(port.containerPort)),
      "protocol": .string(port.transport.lowercased()),
    ]
    if !port.hostIP.isEmpty { json["hostIP"] = .string(port.hostIP) }
    return json
  }

  private static func type(_ plugin: JSON) -> String { plugin["type"]?.string ?? "" }

  private func run(
    _ command: String, _ attachment: Attachment, _ configuration: JSON, _ plugin: JSON, previous: JSON?
  ) async throws(RuntimeError) -> [UInt8] {
    let type = Self.type(plugin)
    // The name is looked up in the plugin folders only.
    guard !type.isEmpty, !type.contains("/"), type != "..",
      let path = pluginDirectories.map({ "\($0)/\(type)" }).first(where: { access($0 as String, X_OK) == 0 })
    else {
      throw RuntimeError(
        .network,
        "network plugin \"\(type)\" is not in \(pluginDirectories.joined(separator: ", ")); "
          + "install the package containernetworking-plugins")
    }
    var environment = Subprocess.defaultEnvironment
    environment["CNI_COMMAND"] = command
    environment["CNI_CONTAINERID"] = attachment.id
    environment["CNI_NETNS"] = attachment.networkNamespace
    environment["CNI_IFNAME"] = Self.interfaceName
    environment["CNI_PATH"] = pluginDirectories.joined(separator: ":")
    environment["CNI_ARGS"] =
      "IgnoreUnknown=1;K8S_POD_NAMESPACE=\(attachment.podNamespace);K8S_POD_NAME=\(attachment.podName);"
      + "K8S_POD_INFRA_CONTAINER_ID=\(attachment.id);K8S_POD_UID=\(attachment.podUID)"
    let input = Self.input(attachment, configuration, plugin, previous: previous)
    let result: ProcessResult
    do throws(SystemError) {
      result = try await Subprocess.run(
        path, [], environment: environment, stdin: input.serialized(), timeout: timeout)
    } catch {
      throw RuntimeError(error.errno == ETIMEDOUT ? .timedOut : .network, "network plugin \(type) \(command): \(error)")
    }
    guard result.status.isSuccess else {
      // The specification's error object is on standard output.
      let answer = try? JSON.parse(result.stdout)
      let text = [answer?["msg"]?.string, answer?["details"]?.string].compactMap { $0 }.filter { !$0.isEmpty }
      throw RuntimeError(
        .network,
        "network plugin \(type) \(command) failed: \(text.isEmpty ? result.message : text.joined(separator: "; "))")
    }
    return result.stdout
  }
}
