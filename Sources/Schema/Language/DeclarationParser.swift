import Wire

/// Reads the text of one file of declarations.
struct DeclarationParser {
  private let file: String
  private var line = 0
  private var declaration: SchemaDeclaration?

  static func parse(_ text: String, file: String) throws(SchemaError) -> SchemaDeclaration {
    var parser = DeclarationParser(file: file)
    for line in text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
      parser.line += 1
      try parser.read(line)
    }
    guard let declaration = parser.declaration else {
      throw parser.failure("expected a line `schema GROUP/VERSION as NAME`")
    }
    return declaration
  }

  private init(file: String) { self.file = file }

  private func failure(_ message: String) -> SchemaError {
    SchemaError(file: file, line: line, message: message)
  }

  private mutating func read(_ text: Substring.UTF8View) throws(SchemaError) {
    var text = text
    let isIndented = text.first == UInt8(ascii: " ")
    var description = ""
    // A description starts at a `#` that stands alone between spaces.
    if let hash = text.firstIndex(of: UInt8(ascii: "#")), hash > text.startIndex,
      text[text.index(before: hash)] == UInt8(ascii: " ")
    {
      description = string(text[text.index(after: hash)...].drop { $0 == UInt8(ascii: " ") })
      text = text[..<hash]
    }
    let words = text.split(separator: UInt8(ascii: " "))
    guard let first = words.first else { return }
    if first.starts(with: "//".utf8) { return }
    if isIndented {
      try readMember(words, description: description)
    } else {
      try readDeclaration(words.map(string), description: description)
    }
  }

  private func string(_ text: Substring.UTF8View) -> String { String(Substring(text)) }

  private mutating func readDeclaration(_ words: [String], description: String) throws(SchemaError) {
    if words[0] == "schema" {
      guard declaration == nil else { throw failure("a file has one `schema` line") }
      guard words.count == 4 || words.count == 7, words[2] == "as",
        let groupVersion = GroupVersion(apiVersion: words[1])
      else { throw failure("expected `schema GROUP/VERSION as NAME [priority GROUP VERSION]`") }
      var made = SchemaDeclaration(file: file, groupVersion: groupVersion, alias: words[3])
      if words.count == 7 {
        guard words[4] == "priority", let group = Int(words[5]), let version = Int(words[6]) else {
          throw failure("expected `priority` and two whole numbers")
        }
        made.groupPriority = group
        made.versionPriority = version
      }
      declaration = made
      return
    }
    guard declaration != nil else { throw failure("expected a line `schema GROUP/VERSION as NAME` first") }
    switch words[0] {
    case "enum":
      guard words.count >= 3 else { throw failure("expected `enum NAME VALUE ...`") }
      let isOpen = words.last == "open"
      let values = words[2...].dropLast(isOpen ? 1 : 0).map { $0 == "\"\"" ? "" : $0 }
      declaration?.enums.append(
        EnumDeclaration(schema: EnumSchema(name: words[1], values: values, isOpen: isOpen), line: line))
    case "kind", "struct":
      guard words.count == 2 else { throw failure("expected `\(words[0]) NAME`") }
      declaration?.structs.append(
        StructDeclaration(name: words[1], description: description, line: line, isKind: words[0] == "kind"))
    default:
      throw failure("unknown declaration `\(words[0])`; expected `schema`, `enum`, `kind` or `struct`")
    }
  }

  private mutating func readMember(_ words: [Substring.UTF8View], description: String) throws(SchemaError) {
    guard let last = declaration?.structs.indices.last else {
      throw failure("an indented line stands below a `kind` or a `struct`")
    }
    if words[0].first == UInt8(ascii: "@") {
      guard declaration?.structs[last].isKind == true else { throw failure("only a `kind` has `@` lines") }
      try readProperty(words.map(string), of: last, description: description)
    } else {
      let field = try field(words, description: description)
      declaration?.structs[last].fields.append(field)
    }
  }

  private mutating func readProperty(_ words: [String], of index: Int, description: String) throws(SchemaError) {
    let values = Array(words.dropFirst())
    guard !values.isEmpty else { throw failure("`\(words[0])` needs a value") }
    switch words[0] {
    case "@resource":
      guard values.count >= 2 else { throw failure("expected `@resource PLURAL SINGULAR [SHORT ...]`") }
      declaration?.structs[index].resource = values[0]
      declaration?.structs[index].singular = values[1]
      declaration?.structs[index].shortNames = Array(values.dropFirst(2))
    case "@categories": declaration?.structs[index].categories = values
    case "@verbs": declaration?.structs[index].verbs = values
    case "@scope":
      guard values == ["cluster"] || values == ["namespaced"] else {
        throw failure("`@scope` is `cluster` or `namespaced`")
      }
      declaration?.structs[index].isNamespaced = values[0] == "namespaced"
    case "@subresource":
      guard values.count == 2 || values.count == 4 else {
        throw failure("expected `@subresource NAME VERB,... [APIVERSION KIND]`")
      }
      var kind: GroupVersionKind?
      if values.count == 4 {
        guard let groupVersion = GroupVersion(apiVersion: values[2]) else {
          throw failure("`\(values[2])` is no apiVersion")
        }
        kind = GroupVersionKind(group: groupVersion.group, version: groupVersion.version, kind: values[3])
      }
      let verbs = values[1].split(separator: ",").map(String.init)
      declaration?.structs[index].subresources.append(SubresourceSchema(name: values[0], verbs: verbs, kind: kind))
    case "@column":
      guard values.count >= 2 else { throw failure("expected `@column TYPE[/FORMAT][!PRIORITY] NAME`") }
      let priority = values[0].split(separator: "!", maxSplits: 1)
      let type = priority[0].split(separator: "/", maxSplits: 1)
      guard ["string", "integer", "boolean", "date", "number"].contains(type[0]) else {
        throw failure("unknown column type `\(type[0])`")
      }
      guard let level = priority.count > 1 ? Int(priority[1]) : 0 else {
        throw failure("`\(priority[1])` is no column priority")
      }
      declaration?.structs[index].columns.append(
        ColumnSchema(
          name: values.dropFirst().joined(separator: " "), type: String(type[0]),
          format: type.count > 1 ? String(type[1]) : "", priority: level, description: description))
    default: throw failure("unknown property `\(words[0])`")
    }
  }

  private func field(_ words: [Substring.UTF8View], description: String) throws(SchemaError) -> FieldDeclaration {
    if words[0].starts(with: "...".utf8) {
      guard words.count == 2, let number = Int(Substring(words[1])) else {
        throw failure("expected `...TYPE NUMBER`")
      }
      let name = string(words[0].dropFirst(3))
      return FieldDeclaration(name: "", type: .named(name), number: number, line: line, description: description)
    }
    guard words.count >= 3 else { throw failure("expected `NAME TYPE NUMBER [WORD ...]`") }
    let name = string(words[0])
    var typeText = words[1]
    let isPointer = typeText.last == UInt8(ascii: "?")
    if isPointer { typeText = typeText.dropLast() }
    guard let number = Int(Substring(words[2])) ?? (words[2].elementsEqual("-".utf8) ? 0 : nil) else {
      throw failure("`\(string(words[2]))` of field `\(name)` is no protobuf number; write `-` for none")
    }
    var field = FieldDeclaration(
      name: name, type: try type(typeText), number: number, line: line, description: description)
    field.isPointer = isPointer
    for word in words.dropFirst(3) { try apply(string(word), to: &field) }
    return field
  }

  private func apply(_ word: String, to field: inout FieldDeclaration) throws(SchemaError) {
    switch word {
    case "omitempty": field.omitsEmpty = true
    case "required": field.isRequired = true
    case "nonempty": field.isNonEmpty = true
    case "merge": field.patch.mergesElements = true
    case "replace": field.patch.replaces = true
    case "retainKeys": field.patch.retainsKeys = true
    case "set": field.listType = .set
    case "atomic": field.isAtomic = true
    default:
      guard let equals = word.firstIndex(of: "=") else { throw failure("unknown word `\(word)`") }
      let value = String(word[word.index(after: equals)...])
      switch word[..<equals] {
      case "merge":
        field.patch.mergesElements = true
        field.patch.mergeKey = value
      case "keys": field.listType = .map(keys: value.split(separator: ",").map(String.init))
      case "default":
        do { field.defaultValue = try JSON.parse(value) } catch {
          throw failure("the default of `\(field.name)` is no JSON value: \(error)")
        }
      default: throw failure("unknown word `\(word)`")
      }
    }
  }

  private func type(_ text: Substring.UTF8View) throws(SchemaError) -> TypeReference {
    guard let first = text.first, let last = text.last else { throw failure("a type is missing") }
    switch (first, last) {
    case (UInt8(ascii: "["), UInt8(ascii: "]")): return .list(try type(text.dropFirst().dropLast()))
    case (UInt8(ascii: "{"), UInt8(ascii: "}")): return .map(try type(text.dropFirst().dropLast()))
    default:
      let isName = text.allSatisfy {
        switch $0 {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
          UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."):
          true
        default: false
        }
      }
      guard isName else { throw failure("`\(string(text))` is no type") }
      return .named(string(text))
    }
  }
}
