import jakarta.mail.*;
import java.io.*;
import java.util.Properties;

public class Delete {
    public static void main(String[] args) throws Exception {
        String[] address = System.getenv("ADDRESS").split(":");
        Properties settings = new Properties();
        settings.put("mail.pop3s.timeout", "60000");
        settings.put("mail.pop3s.ssl.checkserveridentity", "true");
        Store store = Session.getInstance(settings).getStore("pop3s");
        store.connect(address[0], Integer.parseInt(address[1]), System.getenv("NAME"), System.getenv("PASSWORD"));
        Folder inbox = store.getFolder("INBOX");
        inbox.open(Folder.READ_WRITE);
        for (Message m : inbox.getMessages()) {
            try (FileOutputStream file = new FileOutputStream(m.getMessageNumber() + ".eml")) {
                OutputStream buffer = new BufferedOutputStream(file);
                m.writeTo(buffer);
                buffer.flush();
                file.getFD().sync();
            }
            m.setFlag(Flags.Flag.DELETED, true);
        }
        inbox.close(true);
        store.close();
    }
}
