package stagedoor.orca;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;

/**
 * Does what the tests say: a command is a JSON object on a line of standard input, its answer one on standard output,
 * `{"answer": …}` or `{"error": "…"}`. Logs go to standard error.
 */
public final class Driver {

  private final ObjectMapper mapper = new ObjectMapper();
  private Orca orca;

  public static void main(String[] arguments) throws IOException {
    PrintStream answers = System.out;
    System.setOut(System.err);
    new Driver().serve(answers);
  }

  private void serve(PrintStream answers) throws IOException {
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = commands.readLine(); line != null; line = commands.readLine()) {
      ObjectNode answer = mapper.createObjectNode();
      try {
        answer.putPOJO("answer", run(mapper.readTree(line)));
      } catch (Exception | LinkageError error) {
        error.printStackTrace();
        answer.put("error", error.toString());
      }
      answers.write((mapper.writeValueAsString(answer) + "\n").getBytes(StandardCharsets.UTF_8));
      answers.flush();
    }
  }

  private Object run(JsonNode command) throws IOException {
    switch (command.get("do").asText()) {
      case "boot":
        if (orca != null) {
          orca.close();
        }
        orca = new Orca(command.get("yaml").asText());
        return Orca.hasWebhooks();
      case "bound":
        return orca.bound(command.get("name").asText());
      case "start":
        return orca.start(command.get("pipeline"));
      case "step":
        return orca.step();
      case "redeliver":
        orca.redeliver();
        return null;
      case "advance":
        orca.advance(Duration.ofSeconds(command.get("seconds").asLong()));
        return null;
      case "cancel":
        orca.cancel(command.get("id").asText(), command.get("user").asText());
        return null;
      case "restart":
        orca.restart(command.get("id").asText(), command.get("stage").asText(), command.get("user").asText());
        return null;
      case "execution":
        return orca.execution(command.get("id").asText());
      case "evaluate":
        return orca.evaluate(command.get("id").asText(), command.get("stage").asText(), command.get("value"));
      case "check_url":
        orca.checkUrl(command.get("url").asText());
        return null;
      default:
        throw new IllegalArgumentException("no command " + command);
    }
  }
}
