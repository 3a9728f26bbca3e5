import jakarta.mail.*;
import java.io.*;
import java.util.Properties;

public class Save {
    public static void main(String[] args) throws Exception {
        String[] address = System.getenv("ADDRESS").split(":");
        Properties settings = new Properties();
        settings.put("mail.pop3s.timeout", "60000");
        settings.put("mail.pop3s.ssl.checkserveridentity", "true");
        Store store = Session.getInstance(settings).getStore("pop3s");
        store.connect(address[0], Integer.parseInt(address[1]), System.getenv("NAME"), System.getenv("PASSWORD"));
        Folder inbox = store.getFolder("INBOX");
        inbox.open(Folder.READ_ONLY);
        for (Message m : inbox.getMessages()) {
            try (OutputStream file = new BufferedOutputStream(new FileOutputStream(m.getMessageNumber() + ".eml"))) {
                m.writeTo(file);
            }
        }
        inbox.close(false);
        store.close();
    }
}
