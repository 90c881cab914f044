import KubeTypes
import Testing
import Wire

@Suite struct SelectorTests {
  @Test func matches() throws {
    let labels = ["app": "web", "tier": "front", "example.com/rank": "7", "in": "x"]
    let table: [(String, Bool)] = [
      ("", true), ("app=web", true), ("app==web", true), ("app=db", false), ("app!=db", true), ("app!=web", false),
      ("none!=x", true), ("app in (web,db)", true), ("app in (db)", false), ("app notin (db)", true),
      ("none notin (db)", true), ("app notin (web)", false), ("app", true), ("!app", false), ("!none", true),
      ("none", false), ("app=web,tier=front", true), ("app=web,tier=back", false), ("example.com/rank>5", true),
      ("example.com/rank<5", false), ("app>5", false), ("none>5", false), (" app = web , ! none ", true),
      ("app=", false), ("none in (,)", false), ("in=x", true), ("app in (web,)", true), ("notin", false),
    ]
    for (text, expected) in table {
      #expect(try Selector(parsing: text).matches(labels) == expected, "\(text)")
    }
  }

  @Test func errors() {
    let table: [(String, String)] = [
      ("app=web,", "found '', expected: identifier after ','"),
      (",", "found ',', expected: !, identifier, or 'end of string'"),
      ("app web", "unable to parse requirement: found 'web', expected: in, notin, =, ==, !=, gt, lt"),
      ("app in web", "unable to parse requirement: found 'web' expected: '('"),
      ("app in (a b)", "unable to parse requirement: found 'b', expected: ',' or ')'"),
      (
        "app in ()",
        "unable to parse requirement: values: Invalid value: []string{}: for 'in', 'notin' operators, values set can't be"
          + " empty"
      ),
      ("app=(", "unable to parse requirement: found '(', expected: identifier"),
      ("app=a)", "found ')', expected: ',' or 'end of string'"),
      ("!", "unable to parse requirement: found '', expected: identifier"),
      (
        "a>x",
        "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an"
          + " integer"
      ),
      (
        "app=-x",
        "unable to parse requirement: values[0][app]: Invalid value: \"-x\": a valid label must be an empty string or"
          + " consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
          + " (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is"
          + " '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
      ),
      (
        "a/b/c=d",
        "unable to parse requirement: <nil>: Invalid value: \"a/b/c\": a qualified name must consist of alphanumeric"
          + " characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or"
          + " 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]') with an"
          + " optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
      ),
    ]
    for (text, message) in table {
      #expect(throws: SelectorError(message), "\(text)") { try Selector(parsing: text) }
    }
  }

  @Test func ofALabelSelector() throws {
    #expect(try Selector(labelSelector: nil) == .nothing && !Selector.nothing.matches([:]))
    #expect(try Selector(labelSelector: [:]).isEmpty && Selector.everything.matches([:]))
    let selector = try Selector(labelSelector: [
      "matchLabels": ["b": "2"],
      "matchExpressions": [
        ["key": "a", "operator": "In", "values": ["y", "x"]], ["key": "c", "operator": "Exists"],
        ["key": "d", "operator": "DoesNotExist"], ["key": "e", "operator": "NotIn", "values": ["z"]],
      ],
    ])
    #expect(selector.description == "a in (x,y),b=2,c,!d,e notin (z)")
    #expect(
      selector.matches(["a": "x", "b": "2", "c": ""]) && !selector.matches(["a": "x", "b": "2", "c": "", "d": ""]))
    #expect(throws: SelectorError("\"Like\" is not a valid label selector operator")) {
      try Selector(labelSelector: ["matchExpressions": [["key": "a", "operator": "Like"]]])
    }
    #expect(try Selector(matchLabels: ["app": "web"]).matches(["app": "web", "x": "y"]))
  }

  /// Any text either is refused or means the same after it is written and parsed again.
  @Test(arguments: 1...20)
  func anyText(seed: UInt64) throws {
    var state = seed &* 0x9e37_79b9_7f4a_7c15
    func random(_ bound: Int) -> Int {
      state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
      return Int((state >> 33) % UInt64(bound))
    }
    let pieces = [
      "a", "b.c", "x/y", "in", "notin", "=", "==", "!=", "!", "(", ")", ",", "<", ">", " ", "1", "-", "ü", "\t", "\0",
      "",
    ]
    for _ in 0..<2000 {
      let text = (0..<random(12)).map { _ in pieces[random(pieces.count)] }.joined()
      guard let selector = try? Selector(parsing: text) else { continue }
      #expect(try Selector(parsing: selector.description).description == selector.description, "\(text)")
      _ = selector.matches(["a": "1", "b.c": "", "x/y": "a"])
    }
  }
}
