/// Replaces the variables of one instruction: one value for each throughout, whatever the instruction itself sets.
///
/// Which words are replaced is the language's choice: those that the shell or the container reads later stay.
struct Expansion {
  var expander: Expander
  private let escape: UInt8

  init(_ values: [String: String], _ globals: GlobalScope, steps: Int) {
    escape = globals.escape
    expander = Expander(escape: globals.escape, bytesMax: globals.expansionBytesMax) { values[$0] }
    expander.stepsLeft = steps
  }

  mutating func expand(_ body: Dockerfile.Body) throws(DockerfileError) -> Dockerfile.Body {
    switch body {
    case .add(var add):
      add.sources = try expand(add.sources)
      add.destination = try expander.expand(add.destination)
      add.chown = try expand(add.chown)
      add.chmod = try expandMode(add.chmod)
      add.checksum = try expand(add.checksum)
      add.exclude = try expand(add.exclude)
      return .add(add)
    case .copy(var copy):
      copy.sources = try expand(copy.sources)
      copy.destination = try expander.expand(copy.destination)
      copy.chown = try expand(copy.chown)
      copy.chmod = try expandMode(copy.chmod)
      copy.exclude = try expand(copy.exclude)
      return .copy(copy)
    case .env(let pairs): return .env(try expand(pairs, "ENV"))
    case .label(let pairs): return .label(try expand(pairs, "LABEL"))
    case .expose(let ports):
      var result: [String] = []
      for port in ports { result += try expander.words(port) }
      for port in result { _ = try Dockerfile.ExposedPort.parse(port) }
      return .expose(result)
    case .run(var run):
      for (index, mount) in run.mounts.enumerated() {
        var engine: Expander? = expander
        defer { if let engine { expander = engine } }
        run.mounts[index] = try Dockerfile.Mount.parse(mount.text, &engine)
      }
      for (index, device) in run.devices.enumerated() {
        run.devices[index].name = try expander.expand(device.name)
      }
      return .run(run)
    case .stopsignal(let text):
      let signal = try expander.expand(text)
      try Dockerfile.StopSignal.check(signal)
      return .stopsignal(signal)
    case .user(let user): return .user(try expander.expand(user))
    case .volume(let volumes):
      let paths = try expand(volumes)
      guard paths.allSatisfy({ !$0.isEmpty }) else {
        throw DockerfileError(.value, "VOLUME specified can not be an empty string")
      }
      return .volume(paths)
    case .workdir(let path): return .workdir(try expander.expand(path))
    case .arg, .cmd, .entrypoint, .from, .healthcheck, .maintainer, .onbuild, .shell: return body
    }
  }

  private mutating func expand(_ text: String?) throws(DockerfileError) -> String? {
    guard let text else { return nil }
    return try expander.expand(text)
  }

  private mutating func expand(_ texts: [String]) throws(DockerfileError) -> [String] {
    var result: [String] = []
    for text in texts { result.append(try expander.expand(text)) }
    return result
  }

  private mutating func expandMode(_ text: String?) throws(DockerfileError) -> String? {
    let mode = try expand(text)
    if let mode { _ = try FileMode.parse(mode) }
    return mode
  }

  private mutating func expand(_ pairs: [Dockerfile.KeyValue], _ name: String) throws(DockerfileError)
    -> [Dockerfile.KeyValue]
  {
    var result: [Dockerfile.KeyValue] = []
    for pair in pairs {
      let key = try expander.expand(pair.key)
      guard !key.isEmpty else { throw DockerfileError(.syntax, "\(name) names can not be blank") }
      result.append(
        Dockerfile.KeyValue(key: key, value: try expander.expand(pair.value), isLegacy: pair.isLegacy))
    }
    return result
  }

  private mutating func expand(_ sources: [Dockerfile.FileSource]) throws(DockerfileError) -> [Dockerfile.FileSource] {
    var result: [Dockerfile.FileSource] = []
    for source in sources {
      switch source {
      case .path(let path): result.append(.path(try expander.expand(path)))
      case .heredoc(var heredoc):
        if heredoc.expands {
          // A document's quotes are its own; its escapes are backslashes, whatever the file's are.
          expander.keepsQuotes = true
          expander.escape = Byte.backslash
          defer {
            expander.keepsQuotes = false
            expander.escape = escape
          }
          heredoc.content = try expander.expand(heredoc.content)
        }
        result.append(.heredoc(heredoc))
      }
    }
    return result
  }
}
