import OCI
import Wire

extension HealthCheck {
  /// The label that keeps a container's check for a server that adopts it: its image may have another one by then.
  static let label = "dev.apus.container.healthcheck"

  /// The check of an image; `nil` when it has none (`HEALTHCHECK NONE` included) or one that cannot be run.
  init?(_ config: ImageConfig) {
    guard let check = config.healthcheck, let kind = check.test.first else { return nil }
    let rest = Array(check.test.dropFirst())
    switch kind {
    case "CMD": command = rest
    case "CMD-SHELL":
      command = (config.shell.isEmpty ? ["/bin/sh", "-c"] : config.shell) + [rest.joined(separator: " ")]
    default: return nil
    }
    guard !rest.isEmpty else { return nil }
    // Zero is Docker's word for the default.
    if check.interval > .zero { interval = check.interval }
    if check.timeout > .zero { timeout = check.timeout }
    startPeriod = max(.zero, check.startPeriod)
    if check.startInterval > .zero { startInterval = check.startInterval }
    if check.retries > 0 { retries = check.retries }
  }

  /// As the label has it.
  init?(label text: String?) {
    guard let text, let json = try? JSON.parse(Array(text.utf8)),
      let command = json["command"]?.array?.compactMap(\.string), !command.isEmpty
    else { return nil }
    self.init(command: command)
    func time(_ key: String) -> Duration? { json[key]?.string.flatMap { GoDuration.parse($0) } }
    if let value = time("interval") { interval = value }
    if let value = time("timeout") { timeout = value }
    if let value = time("startPeriod") { startPeriod = value }
    if let value = time("startInterval") { startInterval = value }
    if let value = json["retries"]?.int { retries = max(1, Int(clamping: value)) }
  }

  var labelText: String {
    let json: JSON = [
      "command": .array(command.map { .string($0) }), "interval": .string(GoDuration.format(interval)),
      "timeout": .string(GoDuration.format(timeout)), "startPeriod": .string(GoDuration.format(startPeriod)),
      "startInterval": .string(GoDuration.format(startInterval)), "retries": .int(Int64(retries)),
    ]
    return String(decoding: json.serialized(), as: UTF8.self)
  }
}
