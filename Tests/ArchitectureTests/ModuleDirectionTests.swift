import Glibc
import Testing

/// The layers are those of the table in docs/ARCHITECTURE.md, lowest first. A target imports only from layers below its
/// own; siblings never import one another.
@Suite struct ModuleDirectionTests {
  /// A target as Package.swift declares it.
  private struct Target {
    var name: String
    var layer: Int
    /// Modules: targets of this package, and products of others.
    var dependencies: Set<String>
    /// What its tests need beside these.
    var tests: Set<String>
    var hasTests: Bool
  }

  private var root: String {
    // Tests/ArchitectureTests/ModuleDirectionTests.swift, three levels below the package.
    #filePath.split(separator: "/").dropLast(3).reduce(into: "") { $0 += "/" + $1 }
  }

  @Test func everyTargetHasItsLayerAndOneOnly() throws {
    let layerOf = try layers()
    let declared = try targets()
    #expect(declared.count > 20 && Set(layerOf.values).count > 5, "the test must have found what it checks")
    #expect(Set(entries(of: root + "/Sources")) == Set(layerOf.keys))
    #expect(Set(declared.map(\.name)) == Set(layerOf.keys))
    for target in declared {
      #expect(
        target.layer == layerOf[target.name],
        "\(target.name) stands under another layer in Package.swift than in docs/ARCHITECTURE.md")
    }
  }

  @Test func arrowsPointDownward() throws {
    let layerOf = try layers()
    for target in try targets() {
      let used = try imports(below: "\(root)/Sources/\(target.name)")
      for module in target.dependencies.union(used) {
        guard let layer = layerOf[module], module != target.name else { continue }
        #expect(layer < target.layer, "\(target.name) must not use \(module)")
      }
    }
  }

  @Test func whatIsDeclaredIsUsedAndTheOtherWayRound() throws {
    let targets = try targets()
    let known = targets.reduce(into: Set(targets.map(\.name))) { $0.formUnion($1.dependencies.union($1.tests)) }
    var seen = 0
    for target in targets where !target.name.hasPrefix("C") || target.hasTests {
      let used = try imports(below: "\(root)/Sources/\(target.name)").intersection(known)
      seen += used.count
      #expect(target.dependencies.subtracting(used) == [], "\(target.name) declares what it does not use")
      #expect(used.subtracting(target.dependencies) == [], "\(target.name) uses what it does not declare")
      let tested = try imports(below: "\(root)/Tests/\(target.name)Tests").intersection(known)
      #expect(target.tests.subtracting(tested) == [], "the tests of \(target.name) declare what they do not use")
      let given = target.dependencies.union(target.tests).union([target.name])
      if target.hasTests {
        #expect(tested.subtracting(given) == [], "the tests of \(target.name) use what they do not declare")
      }
    }
    #expect(seen > 50, "the test must have found the imports it checks")
  }

  /// What tests share stays theirs, and needs nothing of what it is to test.
  @Test func onlyTestsUseWhatTestsShare() throws {
    let product = Set(entries(of: root + "/Sources"))
    let kits = Set(entries(of: root + "/Tests").filter { $0.hasSuffix("Kit") })
    #expect(kits.contains("TestKit"))
    for target in try targets() {
      let used = try imports(below: "\(root)/Sources/\(target.name)")
      #expect(target.dependencies.union(used).isDisjoint(with: kits), "\(target.name)")
    }
    for kit in kits { #expect(try imports(below: "\(root)/Tests/\(kit)").isDisjoint(with: product), "\(kit)") }
  }

  /// A capability is named in the list, in its own value and in its own commands, and nowhere else of the composition root.
  @Test func onlyTheListKnowsCapabilities() throws {
    let capabilities = Set(try layers().filter { $0.value == 7 }.keys).subtracting(["APIServer"])
    var seen = 0
    for file in swiftFiles(below: root + "/Sources/apus") {
      let name = String(file.split(separator: "/").last ?? "")
      let mayKnow =
        file.contains("/apus/Capabilities") || name.hasSuffix("Command.swift") && name != "DataPlaneCommand.swift"
      for line in try text(of: file).split(separator: "\n") where line.hasPrefix("import ") {
        guard capabilities.contains(String(line.dropFirst(7))) else { continue }
        seen += 1
        #expect(mayKnow, "\(file) must not know \(line.dropFirst(7))")
      }
    }
    #expect(seen > 5, "the test must have found the imports it checks")
  }

  /// Full Foundation brings ICU: 40 MB and start-up time.
  @Test func noTargetImportsFullFoundation() throws {
    for target in entries(of: root + "/Sources") {
      #expect(try !imports(below: "\(root)/Sources/\(target)").contains("Foundation"), "\(target)")
    }
  }

  // MARK: - Reading

  /// The rows of the table: `| 3 | `A`, `B` | … |`.
  private func layers() throws -> [String: Int] {
    var layerOf: [String: Int] = [:]
    for line in try text(of: "\(root)/docs/ARCHITECTURE.md").split(separator: "\n") where line.hasPrefix("| ") {
      let cells = line.split(separator: "|").map { $0.split(separator: " ").joined(separator: " ") }
      guard cells.count > 2, let layer = Int(cells[0]) else { continue }
      for name in cells[1].split(separator: "`") where name.allSatisfy({ $0.isLetter }) {
        let other = layerOf.updateValue(layer, forKey: String(name))
        #expect(other == nil, "\(name) stands in two layers")
      }
    }
    return layerOf
  }

  /// Package.swift, as far as its own style goes: `// Layer N`, and below it `room("A", […], tests: […])` and targets with
  /// a `name:` and `dependencies:`; lists hold names and the constants of products.
  private func targets() throws -> [Target] {
    let package = try text(of: "\(root)/Package.swift")
    let words = Self.words(package)
    var products: [String: String] = [:]
    var targets: [Target] = []
    var layer: Int?
    var index = 0
    func list(after start: Int, named label: String?, until end: Int) -> Set<String> {
      var position = start
      if let label {
        guard let found = words[start..<end].firstIndex(of: label) else { return [] }
        position = found + 1
      }
      guard position < end, words[position] == "[" else { return [] }
      var names: Set<String> = []
      for word in words[(position + 1)..<end] {
        if word == "]" { break }
        if word.hasPrefix("\"") { names.insert(String(word.dropFirst().dropLast())) }
        if let product = products[word] { names.insert(product) }
      }
      return names
    }
    while index < words.count {
      defer { index += 1 }
      let word = words[index]
      if word == "let", index + 6 < words.count, words[index + 2] == ":", words[index + 3].hasPrefix("Target."),
        let name = words[index...].prefix(12).first(where: { $0.hasPrefix("\"") })
      {
        products[words[index + 1]] = String(name.dropFirst().dropLast())
      } else if word == "Layer", index > 0, words[index - 1] == "//", let number = Int(words[index + 1]) {
        layer = number
      }
      let isRoom = word == "room" && words[index + 1] == "(" && words[index + 2].hasPrefix("\"")
      let isTarget = [".target", ".systemLibrary", ".executableTarget"].contains(word) && words[index + 1] == "("
      guard isRoom || isTarget, let layer else { continue }
      let end = Self.close(of: index + 1, in: words)
      guard let name = words[(index + 2)..<end].first(where: { $0.hasPrefix("\"") }) else { continue }
      targets.append(
        Target(
          name: String(name.dropFirst().dropLast()), layer: layer,
          dependencies: isRoom
            ? list(after: index + 3, named: nil, until: end) : list(after: index, named: "dependencies", until: end),
          tests: list(after: index, named: "tests", until: end), hasTests: isRoom))
    }
    return targets
  }

  /// The index of the bracket that ends what begins at `start`.
  private static func close(of start: Int, in words: [String]) -> Int {
    var depth = 0
    for index in start..<words.count {
      if words[index] == "(" { depth += 1 }
      if words[index] == ")" { depth -= 1 }
      if depth == 0 { return index }
    }
    return words.count
  }

  /// Names, strings with their quotes, `//` and brackets; commas and colons after a name fall away.
  private static func words(_ text: String) -> [String] {
    var words: [String] = []
    var word = ""
    var isString = false
    func end() {
      if !word.isEmpty { words.append(word) }
      word = ""
    }
    for character in text {
      if isString {
        word.append(character)
        if character == "\"" {
          isString = false
          end()
        }
        continue
      }
      switch character {
      case "\"":
        end()
        word = "\""
        isString = true
      case "(", ")", "[", "]", ":":
        end()
        if character != ":" || words.last.map({ !["name", "tests", "dependencies"].contains($0) }) == true {
          words.append(String(character))
        }
      case ",", " ", "\n": end()
      default: word.append(character)
      }
    }
    end()
    return words
  }

  /// The modules that the files below a folder import.
  private func imports(below directory: String) throws -> Set<String> {
    var modules: Set<String> = []
    for file in swiftFiles(below: directory) {
      for line in try text(of: file).split(separator: "\n") where !line.hasPrefix("//") {
        var words = line.split(separator: " ")
        while let first = words.first, first.hasPrefix("@") || first == "package" || first == "public" {
          words.removeFirst()
        }
        guard words.first == "import", words.count <= 3, let last = words.last else { continue }
        // `import struct Module.Name`
        modules.insert(last.split(separator: ".").first.map(String.init) ?? "")
      }
    }
    return modules
  }

  private func entries(of directory: String) -> [String] {
    guard let handle = opendir(directory) else { return [] }
    defer { closedir(handle) }
    var names: [String] = []
    while let entry = readdir(handle) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if !name.hasPrefix(".") { names.append(name) }
    }
    return names.sorted()
  }

  private func swiftFiles(below directory: String) -> [String] {
    entries(of: directory).flatMap { name in
      name.hasSuffix(".swift") ? ["\(directory)/\(name)"] : swiftFiles(below: "\(directory)/\(name)")
    }
  }

  private func text(of path: String) throws -> String {
    let file = try #require(fopen(path, "r"))
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { bytes += buffer[..<count] }
    return String(decoding: bytes, as: UTF8.self)
  }
}
